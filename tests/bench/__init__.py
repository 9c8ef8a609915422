"""Comparators: the same training job written without prepe, to measure what prepe gains."""
