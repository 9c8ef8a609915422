"""Figures: Arrow tables in, a matplotlib Figure and the text that stands for it out; one file a figure, no pyplot.

Draw within `style.use()`, or let `style.save` do so: it draws a figure in both looks and writes them beside their text.
"""
