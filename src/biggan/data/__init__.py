"""Images and labels, from whatever holds them to batches in [-1, 1].

```
trees      a folder, a zip or an archive as files by name
listing    files by name  -> pictures with labels (class folders, flat, labels.csv, dataset.json)
arrays     files by name  -> arrays with labels   (IDX, CIFAR, npz); unpickle is for CIFAR's Python files
sources    a path or a bundled name -> one of these, by what is in it
decode     one picture    -> one uint8 square
packing    a source       -> one uint8 file of squares
packed     find or make that file, and read it
loader     that file      -> the batch after n images
```

What is not here: augmentation, and where random draws come from (`biggan.latents`).
"""
