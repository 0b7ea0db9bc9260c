# Without device nodes, which no image needs and Berth refuses in layers.
mkdir -p empty/dev
# With the certificates that this machine trusts: behind a proxy that reads TLS, others are of no use.
mmdebstrap --quiet --mode=root --variant=apt --skip=output/dev --include=ca-certificates \
  --aptopt='Acquire::Check-Valid-Until "false"' \
  --customize-hook='cp -r /usr/local/share/ca-certificates "$1/usr/local/share/"' \
  --customize-hook='chroot "$1" update-ca-certificates' \
  --customize-hook='rm -rf "$1/etc/resolv.conf" "$1/etc/hostname" "$1/usr/share/doc" "$1/usr/share/man" "$1/usr/share/locale"' \
  bookworm context/root.tar
tar --append --numeric-owner --owner=0 --group=0 --mode=755 -f context/root.tar -C empty ./dev
