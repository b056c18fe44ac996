package access

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

	"github.com/outcry-mqtt/outcry/cmd/outcry/client"
	"github.com/outcry-mqtt/outcry/cmd/outcry/command"
	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
	"github.com/outcry-mqtt/outcry/hooks/jwt"
	"github.com/spf13/cobra"
)

const inspectLong = `Print the claims of a token, whether the broker would accept it, and the result of each
key of its issuer. It reads key sets behind URLs. - reads the token from standard
input; without an argument the token comes from $OUTCRY_TOKEN.

Exit status: 0 the broker would accept it, 1 the broker would refuse it, or the keys are
not available here.`

const inspectExample = `  outcry token inspect "$TOKEN"
  outcry token inspect - < data/guest.jwt
  outcry token inspect - --config /etc/outcry/config.yaml < token`

func newInspectCommand() *cobra.Command {
	f := &tokenFlags{}
	cmd := &cobra.Command{
		Use:     "inspect [TOKEN|-]",
		Short:   "Print the claims of a token, and whether the broker would accept it",
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
	return &command.ExitError{Code: 1}
}

func givenToken(stdin io.Reader, args []string) (string, error) {
	if len(args) > 0 && args[0] != "-" {
		return args[0], nil
	}
	if len(args) == 0 {
		token, err := client.ReadToken("", "")
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

// when describes a time relative to now.
func when(at, now time.Time) string {
	if d := at.Sub(now).Round(time.Second); d >= 0 {
		return "in " + client.Roughly(d)
	}
	return client.Roughly(now.Sub(at)) + " ago"
}

// explain verifies a token with the broker's hook. It reads only the keys of the token's issuer, and logs problems of
// their key set.
func explain(ctx context.Context, c *config.Loaded, token string, said *jwt.Inspection, log *slog.Logger) (*jwt.Explanation, error) {
	alone := ofIssuer(c, said.Claims["iss"])
	options, _, problems := newKeySets(log).options(alone)
	if len(problems) > 0 {
		return nil, fmt.Errorf("unknown, because its keys are not available here: %s", problems[0].Message)
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
		return nil, errors.New("this is not a token")
	}
	return e, nil
}

// ofIssuer returns the configuration with the token's issuer only.
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

// printExplanation prints the keys for a token, and the result of each.
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
			verdict = "verifies the signature"
		}
		fmt.Fprintf(w, "key        %q (%s, %s) %s\n", k.ID, k.Algorithm, k.Origin, verdict)
	}
}
