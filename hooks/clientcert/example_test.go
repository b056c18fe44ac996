package clientcert_test

import (
	"context"
	"fmt"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/hooks/clientcert"
)

func Example() {
	a, err := clientcert.New(clientcert.Options{User: clientcert.DNS})
	if err != nil {
		fmt.Println(err)
		return
	}
	id, err := a.Authenticate(context.Background(), &broker.Credentials{TLS: verified(certificateWith("pump 7"))})
	fmt.Printf("%q by %s, %v\n", id.User, id.Method, err)
	_, err = a.Authenticate(context.Background(), &broker.Credentials{Username: "ann", Password: []byte("secret")})
	fmt.Println(err)
	// Output:
	// "pump.example" by clientcert, <nil>
	// authenticator not concerned
}
