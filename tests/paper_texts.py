"""What a paper says, as text."""

from soaklib.whitepaper.document import Bullets, Figure, Paragraph, Section, Table, Tiles, plain


def texts_of(blocks):
    """Give every text of some blocks, in order."""
    for block in blocks:
        match block:
            case Section():
                yield block.title
                yield from texts_of(block.blocks)
            case Paragraph():
                yield plain(block.text)
            case Bullets():
                yield from map(plain, block.items)
            case Table():
                yield plain(block.caption)
                for row in block.rows:
                    yield " | ".join(plain(cell.text) for cell in row)
            case Figure():
                yield plain(block.caption)
            case Tiles():
                for tile in block.items:
                    yield f"{tile.label}: {plain(tile.value)} {plain(tile.note)}"


def plain_text(blocks):
    """Give all that some blocks say, with plain spaces and apostrophes."""
    text = "\n".join(texts_of(blocks))
    return text.replace("\N{NARROW NO-BREAK SPACE}", " ").replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")


def figures_of(blocks):
    for block in blocks:
        if isinstance(block, Figure):
            yield block
        elif isinstance(block, Section):
            yield from figures_of(block.blocks)
