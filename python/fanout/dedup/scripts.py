"""
What runs inside Redis: one key a script, so that a cluster can run it, and one batch of them a round trip.

A value is `L<token> <hash>` while it is held and `D<hash>` once it is done.
"""

from __future__ import annotations

import hashlib

__all__ = ["ASK", "COMPLETE", "FOREIGN", "FORGET", "KEYS", "RELEASE", "Script"]

FOREIGN = -1
"""The answer for a key whose value is none of ours."""

_SEEN = """
local seen = redis.pcall('GET', KEYS[1])
local state, held, hash = nil, nil, nil
if type(seen) == 'table' then
  if string.sub(seen.err or '', 1, 9) ~= 'WRONGTYPE' then return seen end
  state = '?'
elseif seen then
  state = string.sub(seen, 1, 1)
  if state == 'L' then
    local blank = string.find(seen, ' ', 1, true)
    if blank then held = string.sub(seen, 2, blank - 1) else state = '?' end
  elseif state == 'D' then
    hash = string.sub(seen, 2)
  else
    state = '?'
  end
end
"""

_ASK = (
    _SEEN
    + """
if state == '?' then return -1 end
if state == 'D' then if hash == ARGV[2] then return 2 else return 3 end end
if held == ARGV[1] then return 1 end
if held and held ~= ARGV[3] then return held end
redis.call('SET', KEYS[1], 'L' .. ARGV[1] .. ' ' .. ARGV[2], 'PX', ARGV[4])
return 1
"""
)

_COMPLETE = (
    _SEEN
    + """
if state == 'D' then return 2 end
if state == '?' or (held and held ~= ARGV[1]) then return 3 end
redis.call('SET', KEYS[1], 'D' .. ARGV[2], 'PX', ARGV[3])
return 1
"""
)

_RELEASE = (
    _SEEN
    + """
if held and held == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
)

_FORGET = """
if redis.pcall('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class Script:
    """A script, and how a call of it is written: `EVALSHA sha 1 key argument…`."""

    def __init__(self, text: str, arguments: int) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        self._arguments = arguments

    def template(self, prefix: bytes, *last: bytes) -> bytes:
        """One call as it goes over the wire, for `%` with length and bytes of each: the key, then the arguments but
        the `last` ones, which are the same in every call. The key stands behind `prefix`, which its length counts in.
        """
        head = b"*%d\r\n$7\r\nEVALSHA\r\n$40\r\n%b\r\n$1\r\n1\r\n" % (4 + self._arguments, self.sha.encode())
        open_ones = b"$%d\r\n%b\r\n" * (self._arguments - len(last))
        tail = b"".join(b"$%d\r\n%b\r\n" % (len(one), one) for one in last)
        return head + b"$%d\r\n" + prefix + b"%b\r\n" + open_ones + tail


KEYS = b"fanout:d:"
"""Claims and done markers stand behind this."""

ASK = Script(_ASK, 4)
"""Arguments: token, hash, the token of an owner that is gone, the window in ms."""

COMPLETE = Script(_COMPLETE, 3)
"""Arguments: token, hash, the window in ms."""

RELEASE = Script(_RELEASE, 1)
"""Argument: token."""

FORGET = Script(_FORGET, 1)
"""Argument: the value that was seen."""
