import os, socket
agent = socket.socket(socket.AF_UNIX)
agent.connect(os.environ["SSH_AUTH_SOCK"])
agent.sendall(bytes([0, 0, 0, 1, 11]))
answer = b""
while len(answer) < 9:
    answer += agent.recv(9)
open("/answer", "w").write(answer.hex())
