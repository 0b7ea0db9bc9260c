src/vendor/keep.c
