#!/bin/sh
# Makes the certificates of the TLS test: an authority, a server named 127.0.0.1, a client. They protect
# nothing. Run here, with OpenSSL 3, if they must be made again; they end in a hundred years.
set -e
key() { openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out "$1.key.pem"; }
sign() {
    key "$1"
    openssl req -new -key "$1.key.pem" -subj "/CN=swath test $1" -out "$1.csr"
    printf 'basicConstraints=CA:FALSE\nsubjectAltName=IP:127.0.0.1\nextendedKeyUsage=%s\n' "$2" >"$1.ext"
    openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key.pem -CAcreateserial -days 36500 \
        -extfile "$1.ext" -out "$1.pem"
    rm "$1.csr" "$1.ext"
}
key ca
openssl req -x509 -new -key ca.key.pem -subj "/CN=swath test ca" -days 36500 -out ca.pem \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
sign server serverAuth
sign client clientAuth
rm ca.key.pem ca.srl
