"""Turn one HTTP exchange with a GenAI provider into facts: pure translation, no I/O, no state.

match = recognise(method, host, port, path, headers)      # is this an inference, and whose?
asked = read_request(match, body)                         # which model, streamed or not
reader = open_reader(match, status, headers)              # then reader.feed(chunk) for every raw chunk
answer = reader.finish()                                  # usage, ids, function calls, errors
units(answer.usage)                                       # Pay-i's units
"""

from .answer import Answer, Asked, FunctionCall
from .asked import asked_of, model_named, read_request
from .hosts import Recognition, maybe_inference, recognise, recognised, tells_usage_if_asked
from .match import Match
from .opening import PLAIN, READ_HEADERS, comes_plain, open_reader, read_answer
from .reader import MOST_HELD, Reader
from .usage import Usage, units

__all__ = [
    "MOST_HELD",
    "PLAIN",
    "READ_HEADERS",
    "Answer",
    "Asked",
    "FunctionCall",
    "Match",
    "Reader",
    "Recognition",
    "Usage",
    "asked_of",
    "comes_plain",
    "maybe_inference",
    "model_named",
    "open_reader",
    "read_answer",
    "read_request",
    "recognise",
    "recognised",
    "tells_usage_if_asked",
    "units",
]
