"""One command for every sound of a folder: over this machine's cores or a cluster; resumable, and exact.

A model's room says what is done with one file (`Work`); what is done with a folder of them is here.
"""

from helpers.batch.command import add_batch, run_batch
from helpers.batch.work import Work, codes_beside, encode_file, like_the_sound, one_array_of_codes

__all__ = [
    "Work",
    "add_batch",
    "codes_beside",
    "encode_file",
    "like_the_sound",
    "one_array_of_codes",
    "run_batch",
]
