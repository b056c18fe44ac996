package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
	"github.com/outcry-mqtt/outcry/hooks/jwt"
	"github.com/spf13/cobra"
)

const inspectLong = `Tell what a token says, and whether the broker would accept it. - reads it from
standard input; without an argument it is taken from $OUTCRY_TOKEN.

Exit status: 0 the broker would accept it, 1 it would not, or that cannot be told
because the keys are not here.`

const inspectExample = `  outcry token inspect "$TOKEN"
  outcry token inspect - < data/guest.jwt
  outcry token inspect - --config /etc/outcry/config.yaml < token`

func newInspectCommand() *cobra.Command {
	f := &tokenFlags{}
	cmd := &cobra.Command{
		Use:     "inspect [TOKEN|-]",
		Short:   "Tell what a token says, and whether it is accepted",
		Long:    inspectLong,
		Example: inspectExample,
		Args:    cobra.MaximumNArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return f.inspect(cmd, args) },
	}
	f.registerKey(cmd)
	return cmd
}

func (f *tokenFlags) inspect(cmd *cobra.Command, args []string) error {
	token, err := givenToken(cmd.InOrStdin(), args)
	if err != nil {
		return err
	}
	said, err := jwt.Inspect(token)
	if err != nil {
		return err
	}
	c, err := f.load()
	if err != nil {
		return err
	}
	w := cmd.OutOrStdout()
	printToken(w, said, time.Now())
	verdict := verify(c, token)
	if verdict == nil {
		_, err = fmt.Fprintln(w, "accepted   yes: the signature is valid")
		return err
	}
	fmt.Fprintln(w, "accepted   no: "+verdict.Error())
	return &exitError{code: 1}
}

func givenToken(stdin io.Reader, args []string) (string, error) {
	if len(args) > 0 && args[0] != "-" {
		return args[0], nil
	}
	if len(args) == 0 {
		token, err := readToken("", "")
		if token == "" && err == nil {
			err = errors.New("give a token, or - to read it from standard input")
		}
		return token, err
	}
	text, err := io.ReadAll(io.LimitReader(stdin, 1<<20))
	return strings.TrimSpace(string(text)), err
}

func printToken(w io.Writer, said *jwt.Inspection, now time.Time) {
	fmt.Fprintln(w, "header     "+compact(said.Header))
	fmt.Fprintln(w, "claims     "+compact(said.Claims))
	for _, moment := range []struct {
		name string
		at   time.Time
	}{{"issued", said.Issued}, {"not before", said.NotBefore}, {"expires", said.Expires}} {
		if !moment.at.IsZero() {
			fmt.Fprintf(w, "%-10s %s (%s)\n", moment.name, moment.at.Format(time.RFC3339), when(moment.at, now))
		}
	}
	if said.Expires.IsZero() {
		fmt.Fprintln(w, "expires    never")
	}
}

func compact(v any) string {
	var text strings.Builder
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err.Error()
	}
	return strings.TrimSpace(text.String())
}

// when is a moment in words.
func when(at, now time.Time) string {
	if d := at.Sub(now).Round(time.Second); d >= 0 {
		return "in " + roughly(d)
	}
	return roughly(now.Sub(at)) + " ago"
}

// verify asks the broker's own hook whether it accepts a token.
func verify(c *config.Loaded, token string) error {
	keys := &configuredKeys{}
	keys.config.Store(&c.Config)
	if problems := checkKeys(c); len(problems) > 0 {
		return fmt.Errorf("not known: the keys that it is verified with are not here: %s", problems[0].Message)
	}
	a, err := jwt.New(tokenOptions(&c.Auth.JWT, keys))
	if err != nil {
		return err
	}
	_, err = a.Authenticate(context.Background(), &broker.Credentials{Password: []byte(token), Version: 5})
	var refusal *broker.Refusal
	if errors.As(err, &refusal) {
		return errors.New(refusal.Reason)
	}
	if errors.Is(err, broker.ErrNotConcerned) {
		return errors.New("this is no token")
	}
	return err
}
