package anonymous_test

import (
	"errors"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/hooks/anonymous"
)

func TestAuthenticate(t *testing.T) {
	cases := []struct {
		name    string
		a       anonymous.Authenticator
		c       broker.Credentials
		refused bool
	}{
		{"nothing shown", anonymous.Authenticator{}, broker.Credentials{}, false},
		{"a name", anonymous.Authenticator{}, broker.Credentials{Username: "root"}, false},
		{"a name and a password", anonymous.Authenticator{}, broker.Credentials{Username: "root", Password: []byte("x")}, false},
		{"strict, nothing shown", anonymous.Authenticator{OnlyWithoutCredentials: true}, broker.Credentials{ClientID: "c"}, false},
		{"strict, a name", anonymous.Authenticator{OnlyWithoutCredentials: true}, broker.Credentials{Username: "root"}, true},
		{"strict, an empty password", anonymous.Authenticator{OnlyWithoutCredentials: true}, broker.Credentials{Password: []byte{}}, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			id, err := c.a.Authenticate(t.Context(), &c.c)
			if quick, known := c.a.AuthenticateQuickly(&c.c); !known || quick != id {
				t.Errorf("quickly: got %+v, %t", quick, known)
			}
			if c.refused {
				if id != nil || !errors.Is(err, broker.ErrNotConcerned) {
					t.Errorf("got %+v, %v", id, err)
				}
				return
			}
			if err != nil || id.User != "" || id.Method != "anonymous" || len(id.Claims) != 0 || !id.Expires.IsZero() {
				t.Errorf("got %+v, %v", id, err)
			}
		})
	}
}
