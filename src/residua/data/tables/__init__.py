"""Tables that state the label of each image: cells, columns, rows, the files that they name, and groups of images."""
