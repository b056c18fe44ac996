package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
	"github.com/outcry-mqtt/outcry/hooks/jwt/jwks"
	"github.com/outcry-mqtt/outcry/listeners"
	"github.com/spf13/cobra"
)

const checkLong = `Check a configuration, and the files that it names, without starting anything. Every
error is told with its line and column. The environment counts, as it does for serve.

Exit status: 0 serve would take it, 1 it would not.`

const checkExample = `  outcry check
  outcry check /etc/outcry/config.yaml
  outcry check --set listeners.tls.address=:8883`

func newCheckCommand() *cobra.Command {
	f := &configFlags{}
	cmd := &cobra.Command{
		Use:     "check [FILE]",
		Short:   "Check a configuration",
		Long:    checkLong,
		Example: checkExample,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				f.file = args[0]
			}
			return f.check(cmd.OutOrStdout())
		},
	}
	f.register(cmd)
	return cmd
}

func (f *configFlags) check(w io.Writer) error {
	o, err := f.options()
	if err != nil {
		return err
	}
	c, err := config.Load(o)
	if err != nil {
		return err
	}
	if err := checkFiles(c); err != nil {
		return err
	}
	name := o.File
	if name == "" {
		name = "the defaults"
	}
	for _, warning := range append(c.Warnings, leftOutKeys(c)...) {
		fmt.Fprintln(w, "warning: "+warning.String())
	}
	fmt.Fprintln(w, name+": ok")
	printSummary(w, &c.Config)
	return nil
}

// checkFiles reads the files that a configuration names, and binds its listeners to ports that are free, which finds
// what they would refuse.
func checkFiles(c *config.Loaded) error {
	copied := *c
	if path := secretPath(&c.Config); copied.Auth.JWT.SecretFile == "" {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			copied.Auth.JWT.SecretFile = config.SecretNone // the broker will make it
		}
	}
	_, err := newAccess(&copied, slog.New(slog.DiscardHandler))
	return inOrder(errors.Join(err, checkListeners(&copied), checkOps(&copied)))
}

// leftOutKeys are the keys of key sets in files that are not used.
func leftOutKeys(c *config.Loaded) (warnings config.Problems) {
	for n, i := range c.Auth.JWT.Issuers {
		if i.JWKSFile == "" {
			continue
		}
		set, _ := jwks.ReadFile(i.JWKSFile) // checkFiles has read it
		for _, l := range set.LeftOut {
			path := config.Item("auth.jwt.issuers", n) + ".jwks_file"
			warnings = append(warnings, c.Problem(path, "left out: "+l.String(), ""))
		}
	}
	return warnings
}

// inOrder puts problems in the order of the file, if there is nothing else.
func inOrder(err error) error {
	var all config.Problems
	for _, e := range flatten(err) {
		p, ok := e.(config.Problem)
		if !ok {
			return err
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		return nil
	}
	return all.Sorted()
}

// flatten returns the errors that an error is made of, problems each for itself.
func flatten(err error) (all []error) {
	switch err := err.(type) {
	case nil:
	case config.Problems:
		for _, p := range err {
			all = append(all, p)
		}
	case interface{ Unwrap() []error }:
		for _, e := range err.Unwrap() {
			all = append(all, flatten(e)...)
		}
	default:
		all = append(all, err)
	}
	return all
}

func checkListeners(c *config.Loaded) error {
	l := &c.Listeners
	for _, address := range []*string{&l.TCP.Address, &l.TLS.Address, &l.WS.Address, &l.WSS.Address, &l.ACME.HTTPAddress} {
		if *address != "" {
			*address = "127.0.0.1:0"
		}
	}
	l.Unix.Address = ""
	in, err := bindAll(c, refuser{}, site{}, slog.New(slog.DiscardHandler))
	if err != nil {
		return withPosition(c, err)
	}
	in.close()
	return nil
}

// checkOps reads the operator's token.
func checkOps(c *config.Loaded) error {
	if c.HTTP.Address == "" || c.HTTP.TokenFile == "" {
		return nil
	}
	l, err := listeners.ListenOps(listeners.OpsOptions{Address: "127.0.0.1:0", TokenFile: c.HTTP.TokenFile})
	if err != nil {
		var bind *listeners.BindError
		if errors.As(err, &bind) {
			return c.Problem(bind.Key, bind.Reason, "")
		}
		return err
	}
	return l.Close()
}

// refuser takes no connection.
type refuser struct{}

// Enter lets nobody in.
func (refuser) Enter(string) (*broker.Pass, error) { return nil, net.ErrClosed }

// Attach closes the connection.
func (refuser) Attach(l broker.Link) error {
	_ = l.Conn.Close()
	return net.ErrClosed
}

func printSummary(w io.Writer, c *config.Config) {
	for _, line := range []struct{ name, address string }{
		{"tcp", c.Listeners.TCP.Address},
		{"tls", c.Listeners.TLS.Address},
		{"ws", c.Listeners.WS.Address},
		{"wss", c.Listeners.WSS.Address},
		{"unix", c.Listeners.Unix.Address},
		{"acme", c.Listeners.ACME.HTTPAddress},
		{"http", c.HTTP.Address},
	} {
		if line.address != "" {
			fmt.Fprintf(w, "  %-5s %s\n", line.name, line.address)
		}
	}
	fmt.Fprintf(w, "  data  %s\n  %d rules, %d rooms\n", c.Data, len(c.Rules), len(c.Rooms))
}
