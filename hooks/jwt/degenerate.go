package jwt

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"math/big"
	"slices"
	"sync"

	"github.com/outcry-mqtt/outcry/hooks/internal/plaintext"
)

// Keys of the right length can protect nothing: zeros from a damaged disk, text in another encoding, or numbers that
// let everybody sign.

// checkSecretText refuses the bytes of a weak or damaged secret.
func checkSecretText(secret []byte) error {
	if err := plaintext.CheckMark(secret); err != nil {
		return errors.New("the secret " + err.Error())
	}
	if isText(secret) && bytes.ContainsAny(secret, "\r\n") {
		return errors.New("the secret has several lines; write it on one line")
	}
	if unit := repetitionLength(secret); unit <= len(secret)/4 {
		return errors.New("the secret repeats itself and can be guessed; make one with: openssl rand -hex 32")
	}
	return nil
}

func isText(b []byte) bool {
	return !slices.ContainsFunc(b, func(c byte) bool { return c < ' ' && c != '\r' && c != '\n' && c != '\t' || c > '~' })
}

// repetitionLength returns the length of the shortest prefix whose repetition gives b, the last time perhaps in part.
func repetitionLength(b []byte) int {
	for n := 1; n < len(b); n++ {
		if bytes.Equal(b[n:], b[:len(b)-n]) {
			return n
		}
	}
	return len(b)
}

// smallPrimes returns the product of the odd primes below 1000.
var smallPrimes = sync.OnceValue(func() *big.Int {
	product := big.NewInt(1)
	for n := int64(3); n < 1000; n += 2 {
		if p := big.NewInt(n); p.ProbablyPrime(0) { // exact below 2^64
			product.Mul(product, p)
		}
	}
	return product
})

// checkRSANumbers refuses numbers that no real RSA key has.
func checkRSANumbers(k *rsa.PublicKey) error {
	switch {
	case k.E < 3 || k.E%2 == 0:
		return errors.New("the RSA key is insecure: its public exponent is even or below 3")
	case k.N.Bit(0) == 0 || new(big.Int).GCD(nil, nil, k.N, smallPrimes()).Cmp(big.NewInt(1)) != 0:
		return errors.New("the RSA key is insecure: its modulus has a small factor")
	}
	return nil
}

// The field of Ed25519 and the constant of its curve (RFC 8032 5.1).
var (
	fieldOf25519 = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	curveD       = func() *big.Int {
		d := new(big.Int).ModInverse(big.NewInt(121666), fieldOf25519)
		return d.Mul(d, big.NewInt(-121665)).Mod(d, fieldOf25519)
	}()
)

// checkPoint refuses points that let everybody sign: those of small order (eight times the point is the neutral
// element), such as all zeros, or a one and zeros. It also refuses values that are no point of the curve.
func checkPoint(k ed25519.PublicKey) error {
	text := slices.Clone(k)
	slices.Reverse(text)
	text[0] &= 0x7f // clears the sign of x
	y := new(big.Int).SetBytes(text)
	for range 3 {
		x2 := squareOfX(y)
		if x2 == nil {
			return errors.New("the Ed25519 key is invalid: it is not a point on the curve")
		}
		y = double(x2, y)
	}
	if y.Cmp(big.NewInt(1)) == 0 {
		return errors.New("the Ed25519 key is insecure: anyone can forge its signatures")
	}
	return nil
}

// squareOfX returns x² of the points with this y, (y²-1)/(dy²+1); nil if there are none.
func squareOfX(y *big.Int) *big.Int {
	p, one := fieldOf25519, big.NewInt(1)
	y2 := new(big.Int).Mul(y, y)
	below := new(big.Int).Mul(curveD, y2)
	below.ModInverse(below.Add(below, one), p) // never zero, since d is no square
	x2 := y2.Sub(y2, one)
	x2.Mul(x2, below).Mod(x2, p)
	if x2.Sign() != 0 && big.Jacobi(x2, p) != 1 {
		return nil
	}
	return x2
}

// double returns the y of twice a point, (y²+x²)/(2+x²-y²).
func double(x2, y *big.Int) *big.Int {
	p := fieldOf25519
	y2 := new(big.Int).Mul(y, y)
	below := new(big.Int).Add(big.NewInt(2), x2)
	below.ModInverse(below.Mod(below.Sub(below, y2), p), p)
	sum := y2.Add(y2, x2)
	return sum.Mul(sum, below).Mod(sum, p)
}
