#!/bin/sh
. /srv/common/lib.sh; echo api
