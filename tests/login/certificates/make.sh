#!/bin/sh
# Makes the certificates of the login tests: an authority, a server at 127.0.0.1, a client. They protect nothing.
set -eu
cd "$(dirname "$0")"
days=36500
key() { openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out "$1"; }
issue() { # name, extensions
  key "$1.key"
  openssl req -new -key "$1.key" -subj "/CN=glancefs test $1" |
    openssl x509 -req -CA ca.pem -CAkey ca.key -CAcreateserial -days $days -extfile /dev/fd/3 -out "$1.pem" 3<<END
$2
END
}
key ca.key
openssl req -x509 -new -key ca.key -subj '/CN=glancefs test authority' -days $days \
  -addext 'basicConstraints=critical,CA:TRUE' -addext 'keyUsage=critical,keyCertSign,cRLSign' -out ca.pem
issue server 'subjectAltName=IP:127.0.0.1
basicConstraints=critical,CA:FALSE
extendedKeyUsage=serverAuth'
issue client 'basicConstraints=critical,CA:FALSE
extendedKeyUsage=clientAuth'
rm -f ca.key ca.srl
