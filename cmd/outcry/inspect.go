package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
	"github.com/outcry-mqtt/outcry/hooks/jwt"
	"github.com/spf13/cobra"
)

const inspectLong = `Tell what a token says, whether the broker would accept it, and what each key of its
issuer has to do with it; a key set behind a URL is read. - reads it from
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
	log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	verdict, err := explain(cmd.Context(), c, token, said, log)
	if err == nil {
		printExplanation(w, verdict)
		if verdict.Refusal == nil {
			_, err = fmt.Fprintf(w, "accepted   yes: the signature is valid, the user is %q\n", verdict.Identity.User)
			return err
		}
		err = errors.New(verdict.Refusal.Reason)
	}
	fmt.Fprintln(w, "accepted   no: "+err.Error())
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

// explain asks the broker's own hook what becomes of a token. Only the keys of the token's issuer are read; log is told
// what is wrong with a key set.
func explain(ctx context.Context, c *config.Loaded, token string, said *jwt.Inspection, log *slog.Logger) (*jwt.Explanation, error) {
	alone := ofIssuer(c, said.Claims["iss"])
	options, _, problems := newKeySets(log).options(alone)
	if len(problems) > 0 {
		return nil, fmt.Errorf("not known: the keys that it is verified with are not here: %s", problems[0].Message)
	}
	a, err := jwt.New(options)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { _ = a.Run(ctx) })
	defer running.Wait()
	defer cancel()
	e, err := a.Explain(ctx, token)
	if err != nil {
		return nil, errors.New("this is no token")
	}
	return e, nil
}

// ofIssuer returns the configuration with one issuer only: the one that a token is of.
func ofIssuer(c *config.Loaded, name any) *config.Loaded {
	alone := *c
	j := &alone.Auth.JWT
	for n, i := range j.Issuers {
		if i.Issuer != name {
			continue
		}
		j.SecretFile, j.Keys = config.SecretNone, nil
		j.Issuers = j.Issuers[n : n+1]
		return &alone
	}
	j.Issuers = nil
	return &alone
}

// printExplanation tells which keys there are for a token, and what each has to do with it.
func printExplanation(w io.Writer, e *jwt.Explanation) {
	switch {
	case !e.Known:
		return
	case e.Issuer == "":
		fmt.Fprintln(w, "issuer     the broker itself")
	default:
		fmt.Fprintln(w, "issuer     "+e.Issuer)
	}
	for _, k := range e.Keys {
		verdict := k.Why
		if k.Signed {
			verdict = "made the signature"
		}
		fmt.Fprintf(w, "key        %q (%s, %s) %s\n", k.ID, k.Algorithm, k.Origin, verdict)
	}
}
