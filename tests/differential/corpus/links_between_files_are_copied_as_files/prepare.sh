echo shared > context/a && ln context/a context/b
