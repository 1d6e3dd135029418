"""What a teacher does with the course: pack a kit, publish pages, collect scores, hand notebooks out anew.

`course.py` runs these. `kit`, `originals` and `scores` keep to the standard library, so that they work before
anything is installed; `pages` and `in_page` run in the course's environment.
"""
