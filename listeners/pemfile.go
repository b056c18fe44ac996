package listeners

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
)

// pemProblem explains why a PEM file is unusable, as far as that shows without its passphrase; nil: another reason.
func pemProblem(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil // the caller reports this
	}
	block, _ := pem.Decode(text)
	switch {
	case len(bytes.TrimSpace(text)) == 0:
		return fmt.Errorf("%s is empty", file)
	case bytes.HasPrefix(text, []byte("\xef\xbb\xbf")):
		return fmt.Errorf("%s begins with a byte order mark; save it as UTF-8 without one", file)
	case bytes.IndexByte(text, 0) >= 0:
		return fmt.Errorf("%s has null characters; it must be PEM, saved as UTF-8", file)
	case block != nil && isEncrypted(block):
		return fmt.Errorf("%s is encrypted; decrypt it with openssl pkey", file)
	}
	return nil
}

func isEncrypted(b *pem.Block) bool {
	return b.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(b.Headers["Proc-Type"], "ENCRYPTED")
}

// poolOf returns the certificates of a PEM text. All must be valid: an omitted authority would silently refuse its
// clients.
func poolOf(text []byte) (*x509.CertPool, error) {
	pool, n := x509.NewCertPool(), 0
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		n, text = n+1, rest
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("block %d is a %s, not a certificate; remove it", n, block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", n, err)
		}
		pool.AddCert(cert)
	}
	switch {
	case n == 0:
		return nil, errors.New("no certificate in PEM form")
	case bytes.Contains(text, []byte("-----BEGIN")):
		return nil, fmt.Errorf("the data after certificate %d is truncated or damaged", n)
	}
	return pool, nil
}
