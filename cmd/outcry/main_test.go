package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"go.uber.org/goleak"
)

// beOutcry in the environment makes the test binary be the program, so that tests can start it as a process of its own.
const beOutcry = "OUTCRY_TEST_BE_OUTCRY"

func TestMain(m *testing.M) {
	if os.Getenv(beOutcry) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

// outcry returns the program as a process that is not started, in a folder of its own.
func outcry(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), beOutcry+"=1")
	cmd.Dir = t.TempDir()
	return cmd
}

// call runs a command in this process.
func call(t *testing.T, stdin string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = run(context.WithoutCancel(t.Context()), args, strings.NewReader(stdin), &out, &errs)
	return status, out.String(), errs.String()
}

func TestMistakesGetAHint(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"serv", "outcry: unknown command \"serv\"; did you mean serve?\nsee outcry --help\n"},
		{"token inspct", "outcry: unknown command \"inspct\"; did you mean inspect?\nsee outcry token --help\n"},
		{"serve --opne", "outcry: unknown flag: --opne; did you mean --open?\nsee outcry serve --help\n"},
		{"token", "outcry: say who the token is for, with --user NAME\nsee outcry token --help\n"},
		{"passwd file", "outcry: write outcry passwd FILE USER\nsee outcry passwd --help\n"},
		{"serve --set log.level", "--set: log.level sets nothing; write --set key=value, such as --set log.level=debug\n"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			status, stdout, stderr := call(t, "", strings.Fields(tt.args)...)
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
		if status, script, _ := call(t, "", "completion", shell); status != 0 || !strings.Contains(script, "__complete") {
			t.Errorf("%s: status %d, %d bytes", shell, status, len(script))
		}
	}
	if _, keys, _ := call(t, "", "__complete", "serve", "--set", ""); !strings.Contains(keys, "\nauth.jwt.issuer=\n") {
		t.Errorf("--set completes to %s", keys)
	}
}

func TestVersion(t *testing.T) {
	if status, text, _ := call(t, "", "version"); status != 0 || !strings.HasPrefix(text, "outcry ") {
		t.Errorf("status %d, %q", status, text)
	}
	if status, text, _ := call(t, "", "version", "--json"); status != 0 || !strings.Contains(text, `"go":"go1.`) {
		t.Errorf("status %d, %q", status, text)
	}
}
