"""Commands that show what was found: the first picture, pages, moving pictures, images as files."""
