package anonymous_test

import (
	"context"
	"fmt"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/hooks/anonymous"
)

func Example() {
	o := broker.Options{Hooks: []any{
		// authenticators that identify users come first
		anonymous.Authenticator{OnlyWithoutCredentials: true},
	}}
	last := o.Hooks[0].(broker.Authenticator)
	id, err := last.Authenticate(context.Background(), &broker.Credentials{ClientID: "sensor"})
	fmt.Printf("%q by %s, %v\n", id.User, id.Method, err)
	_, err = last.Authenticate(context.Background(), &broker.Credentials{Username: "ann", Password: []byte("mistyped")})
	fmt.Println(err)
	// Output:
	// "" by anonymous, <nil>
	// authenticator not concerned
}
