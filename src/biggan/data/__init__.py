"""Images and labels, from whatever holds them to batches in [-1, 1].

```
records    what a source is; names from outside
trees      a folder, a zip or an archive as files by name
listing    files by name  -> pictures with labels (class folders, flat, labels.csv, dataset.json)
arrays     files by name  -> arrays with labels   (IDX, CIFAR, npz); unpickle is for CIFAR's Python files
sources    a path or a bundled name -> one of these, by what is in it
tars       tar files      -> pictures with labels (WebDataset, class folders, one tar a class)
remote     an address     -> its files on this machine
decode     one picture    -> one uint8 square
packing    a range of a source -> one uint8 file of squares, a shard; estimate says how long that takes
making     all the shards of a pack, resumable; workers are processes that make them
remarks    all the shards -> labels, classes, what is odd
packfile   shards with labels and names, on disk or in memory; shards reads them as one array; sheet draws from it
packed     find or make the pack of a source
loader     a pack         -> the batch after n images
bundled    the small real set inside the package
```

What is not here: augmentation, and where random draws come from (`biggan.latents`).
"""
