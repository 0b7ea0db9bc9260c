#!/bin/sh
# The job: says when it was started, works for a while and ends.
echo "Job runs. $MESSAGE"
sleep 2
echo "Job done."
