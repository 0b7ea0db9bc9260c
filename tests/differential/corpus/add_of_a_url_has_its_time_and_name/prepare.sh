mkdir x && echo inside > x/inside
tar -C x -czf served/archive.tar.gz .
