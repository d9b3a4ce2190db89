"""Update rules for the policies and training loops of other libraries."""
