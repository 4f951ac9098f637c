"""
Dead letters after the fact: counted, looked at, exported, put back.

    reader ─▶ story (what the headers say, in any dialect) ─▶ census (ls) · page (show, export) · redrive ─▶ ground

Whatever stands in a letter was written by strangers: it is bounded, escaped before it is shown, and never obeyed
without having been shown.
"""
