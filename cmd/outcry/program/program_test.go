package program

import (
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/cmd/outcry/outcrytest"
	"github.com/spf13/cobra"
)

func TestMain(m *testing.M) { outcrytest.Main(m, Run) }

func TestMistakesGetAHint(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"serv", "outcry: unknown command \"serv\"; did you mean serve?\nsee outcry --help\n"},
		{"token inspct", "outcry: unknown command \"inspct\"; did you mean inspect?\nsee outcry token --help\n"},
		{"serve --opne", "outcry: unknown flag: --opne; did you mean --open?\nsee outcry serve --help\n"},
		{"token", "outcry: give the user of the token with --user NAME\nsee outcry token --help\n"},
		{"passwd file", "outcry: write outcry passwd FILE USER\nsee outcry passwd --help\n"},
		{"serve --set log.level", "--set: log.level is not an assignment; write --set key=value, such as --set log.level=debug\n"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			status, stdout, stderr := outcrytest.Call(t, "", strings.Fields(tt.args)...)
			if status != 1 || stdout != "" || stderr != tt.want {
				t.Errorf("status %d, output %q, error\n%s\nwant\n%s", status, stdout, stderr, tt.want)
			}
		})
	}
}

func TestEveryCommandHasExamples(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Runnable() && !strings.Contains(c.Example, "  "+c.CommandPath()) && c.Name() != "help" {
			t.Errorf("%s has no example", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newRootCommand())
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if status, script, _ := outcrytest.Call(t, "", "completion", shell); status != 0 || !strings.Contains(script, "__complete") {
			t.Errorf("%s: status %d, %d bytes", shell, status, len(script))
		}
	}
	if _, keys, _ := outcrytest.Call(t, "", "__complete", "serve", "--set", ""); !strings.Contains(keys, "\nauth.jwt.issuer=\n") {
		t.Errorf("--set completes to %s", keys)
	}
}

func TestVersion(t *testing.T) {
	if status, text, _ := outcrytest.Call(t, "", "version"); status != 0 || !strings.HasPrefix(text, "outcry ") {
		t.Errorf("status %d, %q", status, text)
	}
	_, long, _ := outcrytest.Call(t, "", "version")
	if status, text, _ := outcrytest.Call(t, "", "--version"); status != 0 || text != long {
		t.Errorf("--version: status %d, %q, want %q", status, text, long)
	}
	if status, text, _ := outcrytest.Call(t, "", "version", "--json"); status != 0 || !strings.Contains(text, `"go":"go1.`) {
		t.Errorf("status %d, %q", status, text)
	}
}
