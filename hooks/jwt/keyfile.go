package jwt

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/outcry-mqtt/outcry/hooks/internal/plaintext"
)

// maxKeyFileBytes bounds a key or certificate file.
const maxKeyFileBytes = 1 << 20

// KeyFile is a KeySource: a PEM file with one public key or certificate.
type KeyFile struct {
	Path      string
	Algorithm string // as Key.Algorithm
	ID        string // as Key.ID
}

// Keys reads the file.
func (f KeyFile) Keys() ([]Key, error) {
	public, err := readPublicKey(f.Path)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", f.Path, err)
	}
	k, err := Key{ID: f.ID, Algorithm: f.Algorithm, Value: public, Origin: "key file " + f.Path}.Complete()
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", f.Path, err)
	}
	return []Key{k}, nil
}

// SecretFile is a KeySource: a file whose bytes, without final line ends, are the secret.
type SecretFile struct {
	Path      string
	Algorithm string // as Key.Algorithm
	ID        string // as Key.ID
}

// Keys reads the file. Only its owner may have read access.
func (f SecretFile) Keys() ([]Key, error) {
	secret, err := readSecret(f.Path)
	if err != nil {
		return nil, err
	}
	k, err := Key{ID: f.ID, Algorithm: f.Algorithm, Value: secret, Origin: "secret file " + f.Path}.Complete()
	if err != nil {
		return nil, fmt.Errorf("secret file %s: %w", f.Path, err)
	}
	return []Key{k}, nil
}

func readPublicKey(path string) (any, error) {
	block, err := readPEM(path)
	if err != nil {
		return nil, err
	}
	switch block.Type {
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return certificate.PublicKey, nil
	case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY":
		return nil, errors.New("is a private key, which the broker does not need; write its public key with openssl pkey -pubout")
	}
	return nil, fmt.Errorf("has a %q, not a public key or a certificate", block.Type)
}

// readPEM reads a file with exactly one PEM block, besides the parameters that openssl writes before an EC key.
func readPEM(path string) (*pem.Block, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, errors.New("is empty")
	}
	if err := plaintext.Check(text); err != nil {
		return nil, err
	}
	block, rest := pem.Decode(text)
	if block != nil && block.Type == "EC PARAMETERS" {
		block, rest = pem.Decode(rest)
	}
	if block == nil {
		return nil, errors.New("is not a PEM file; it should begin with -----BEGIN PUBLIC KEY-----")
	}
	if more, _ := pem.Decode(rest); more != nil {
		return nil, errors.New("has more than one key; write each to a file of its own")
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("has extra text after the key; remove it")
	}
	if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
		return nil, errors.New("is encrypted; decrypt it with openssl pkey")
	}
	return block, nil
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, cause(err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxKeyFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxKeyFileBytes {
		return nil, fmt.Errorf("is larger than %d bytes", maxKeyFileBytes)
	}
	return text, nil
}

// cause returns a file's error without the path; callers add their own name for the file.
func cause(err error) error {
	if of, ok := errors.AsType[*fs.PathError](err); ok {
		return of.Err
	}
	return err
}
