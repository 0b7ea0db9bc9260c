chmod 600 context/a
chmod 711 context/d
