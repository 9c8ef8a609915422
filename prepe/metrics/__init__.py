"""Named numbers about a model and an intervention; `catalog` says what each means. Neither torch nor Ray."""
