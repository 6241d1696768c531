"""Reading, writing, resizing and compositing of images and videos."""
