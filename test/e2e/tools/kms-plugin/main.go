// A minimal KMS v2 plugin, as one would write it in Go: the yardstick that npm run bench holds
// latchkey-kms against. One AES-256-GCM key in memory, no keyring, no checks.
package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"log"
	"net"
	"os"

	"google.golang.org/grpc"
	v2 "k8s.io/kms/apis/v2"
)

type plugin struct {
	v2.UnsafeKeyManagementServiceServer
	aead cipher.AEAD
}

func (p *plugin) Status(context.Context, *v2.StatusRequest) (*v2.StatusResponse, error) {
	return &v2.StatusResponse{Version: "v2", Healthz: "ok", KeyId: "yardstick"}, nil
}

func (p *plugin) Encrypt(_ context.Context, request *v2.EncryptRequest) (*v2.EncryptResponse, error) {
	nonce := make([]byte, p.aead.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	return &v2.EncryptResponse{Ciphertext: p.aead.Seal(nonce, nonce, request.Plaintext, nil), KeyId: "yardstick"}, nil
}

func (p *plugin) Decrypt(_ context.Context, request *v2.DecryptRequest) (*v2.DecryptResponse, error) {
	size := p.aead.NonceSize()
	plaintext, err := p.aead.Open(nil, request.Ciphertext[:size], request.Ciphertext[size:], nil)
	return &v2.DecryptResponse{Plaintext: plaintext}, err
}

func main() {
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		log.Fatal(err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		log.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("unix", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	v2.RegisterKeyManagementServiceServer(server, &plugin{aead: aead})
	log.Fatal(server.Serve(listener))
}
