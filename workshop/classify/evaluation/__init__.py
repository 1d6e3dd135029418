"""How good a classifier is: scores on clips it has not heard, and what a wrong setting costs."""
