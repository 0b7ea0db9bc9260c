src/vendor/v.c
