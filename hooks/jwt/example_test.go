package jwt_test

import (
	"context"
	"fmt"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/hooks/jwt"
)

func Example() {
	secret := []byte("32 bytes or more, kept in a file") // see LoadOrCreateSecret
	authenticator, err := jwt.New(jwt.Options{
		Issuers: []jwt.Issuer{{Keys: []jwt.KeySource{jwt.Key{Value: secret}}}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	token, err := jwt.Mint(jwt.MintOptions{
		Key: jwt.SigningKey{Value: secret}, User: "ann", Rooms: []string{"lobby"}, TTL: time.Hour,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	identity, err := authenticator.Authenticate(context.Background(), &broker.Credentials{Password: []byte(token)})
	fmt.Println(identity.User, identity.Claims["rooms"], err)

	_, err = authenticator.Authenticate(context.Background(), &broker.Credentials{Password: []byte(token[:len(token)-3])})
	fmt.Println(err)
	// Output:
	// ann [lobby] <nil>
	// token's signature does not match; was it signed with another key? (0x86)
}
