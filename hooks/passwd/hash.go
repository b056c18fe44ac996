package passwd

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// Cost of new hashes, OWASP's minimum: 19 MiB, 2 passes, 1 lane; 20 to 50 ms.
const (
	newMemoryKiB = 19 << 10
	newPasses    = 2
	newLanes     = 1
	newSaltBytes = 16
	newKeyBytes  = 32
)

// Limits of a hash, checked before anything is allocated.
const (
	maxMemoryKiB  = 256 << 10
	maxPasses     = 16
	maxLanes      = 16
	maxWorkKiB    = 512 << 10 // memory times passes: about a second
	minSaltBytes  = 8
	maxSaltBytes  = 64
	minKeyBytes   = 16
	maxKeyBytes   = 64
	maxBcryptCost = 14 // about a second
)

// hash verifies passwords.
type hash interface {
	matches(password []byte) bool
}

// parseHash parses a hash, and refuses one that is too weak or too costly.
func parseHash(text string) (hash, error) {
	switch {
	case strings.HasPrefix(text, "$argon2id$"):
		return parseArgon2id(text)
	case strings.HasPrefix(text, "$2a$"), strings.HasPrefix(text, "$2b$"), strings.HasPrefix(text, "$2y$"):
		return parseBcrypt(text)
	case text == "":
		return nil, errors.New("there is no hash; set a password with outcry passwd")
	}
	return nil, errors.New("the hash is neither argon2id ($argon2id$…) nor bcrypt ($2b$…); set the password again with outcry passwd")
}

// argon2id is a hash by RFC 9106, written as $argon2id$v=19$m=KIB,t=PASSES,p=LANES$SALT$KEY.
type argon2id struct {
	memory, passes uint32
	lanes          uint8
	salt, key      []byte
}

func newArgon2id(password []byte) *argon2id {
	h := &argon2id{memory: newMemoryKiB, passes: newPasses, lanes: newLanes, salt: make([]byte, newSaltBytes)}
	rand.Read(h.salt) // never fails
	h.key = h.derive(password, newKeyBytes)
	return h
}

func (h *argon2id) derive(password []byte, size int) []byte {
	return argon2.IDKey(password, h.salt, h.passes, h.memory, h.lanes, uint32(size))
}

func (h *argon2id) matches(password []byte) bool {
	return subtle.ConstantTimeCompare(h.derive(password, len(h.key)), h.key) == 1
}

// String returns the hash in the PHC string format.
func (h *argon2id) String() string {
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s",
		argon2.Version, h.memory, h.passes, h.lanes, encode(h.salt), encode(h.key))
}

func parseArgon2id(text string) (hash, error) {
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return nil, fmt.Errorf("the argon2id hash is not written as $argon2id$v=%d$m=…,t=…,p=…$salt$hash", argon2.Version)
	}
	h := &argon2id{}
	if err := h.parseCost(parts[3]); err != nil {
		return nil, err
	}
	var err error
	if h.salt, err = decode("salt", parts[4], minSaltBytes, maxSaltBytes); err != nil {
		return nil, err
	}
	if h.key, err = decode("last part", parts[5], minKeyBytes, maxKeyBytes); err != nil {
		return nil, err
	}
	return h, nil
}

// parseCost parses m=KIB,t=PASSES,p=LANES.
func (h *argon2id) parseCost(text string) error {
	parts := strings.Split(text, ",")
	if len(parts) != 3 {
		return errors.New("the argon2id hash does not have the parameters m=…,t=…,p=…")
	}
	var values [3]uint64
	for i, limit := range [...]struct {
		name string
		most uint64
	}{{"m=", maxMemoryKiB}, {"t=", maxPasses}, {"p=", maxLanes}} {
		digits, ok := strings.CutPrefix(parts[i], limit.name)
		value, err := strconv.ParseUint(digits, 10, 32)
		if !ok || err != nil || value == 0 || value > limit.most {
			return fmt.Errorf("argon2id parameter %q: it must be %sN with N from 1 to %d", parts[i], limit.name, limit.most)
		}
		values[i] = value
	}
	if values[0]*values[1] > maxWorkKiB {
		return fmt.Errorf("argon2id parameters %q: m times t is more than %d, too slow to verify", text, maxWorkKiB)
	}
	h.memory, h.passes, h.lanes = uint32(values[0]), uint32(values[1]), uint8(values[2])
	return nil
}

func decode(what, text string, least, most int) ([]byte, error) {
	if len(text) > base64.RawStdEncoding.EncodedLen(most) {
		return nil, fmt.Errorf("the %s of the argon2id hash is longer than %d bytes", what, most)
	}
	decoded, err := base64.RawStdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("the %s of the argon2id hash is not base64 without padding", what)
	}
	if len(decoded) < least {
		return nil, fmt.Errorf("the %s of the argon2id hash is shorter than %d bytes", what, least)
	}
	return decoded, nil
}

// bcryptHash is a hash in bcrypt's own format.
type bcryptHash []byte

func (h bcryptHash) matches(password []byte) bool {
	return bcrypt.CompareHashAndPassword(h, password) == nil
}

func parseBcrypt(text string) (hash, error) {
	const size, start = 60, len("$2b$10$")
	cost, err := bcrypt.Cost([]byte(text))
	if err != nil || len(text) != size || text[start-1] != '$' || strings.Trim(text[start:], bcryptAlphabet) != "" {
		return nil, errors.New("the bcrypt hash is truncated or changed; set the password again with outcry passwd")
	}
	if cost > maxBcryptCost {
		return nil, fmt.Errorf("bcrypt cost %d is too slow to verify; the most is %d", cost, maxBcryptCost)
	}
	return bcryptHash(text), nil
}

const bcryptAlphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// unmatchable returns a hash with the cost of a new one that matches no known password.
func unmatchable() hash {
	h := &argon2id{memory: newMemoryKiB, passes: newPasses, lanes: newLanes,
		salt: make([]byte, newSaltBytes), key: make([]byte, newKeyBytes)}
	rand.Read(h.key) // never fails
	return h
}
