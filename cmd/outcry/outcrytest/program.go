package outcrytest

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"go.uber.org/goleak"
)

// RunCommand runs a command in this process.
func RunCommand(t *testing.T, cmd *cobra.Command, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	cmd.SetArgs(append([]string{}, args...)) // nil would mean the arguments of this process
	cmd.SilenceErrors = true
	err = cmd.ExecuteContext(t.Context())
	return out.String(), errs.String(), err
}

// BeOutcry in the environment makes the test binary run the program, so that tests can start it as a process of its
// own.
const BeOutcry = "OUTCRY_TEST_BE_OUTCRY"

// program is the whole program.
var program func(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) (status int)

// Main runs the tests of a package, or the program if BeOutcry is set.
func Main(m *testing.M, run func(context.Context, []string, io.Reader, io.Writer, io.Writer) int) {
	program = run
	if os.Getenv(BeOutcry) != "" {
		os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	goleak.VerifyTestMain(m)
}

// Command returns the program as a command, in a folder of its own.
func Command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), BeOutcry+"=1")
	cmd.Dir = t.TempDir()
	return cmd
}

// Call runs a command in this process.
func Call(t *testing.T, stdin string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = program(context.WithoutCancel(t.Context()), args, strings.NewReader(stdin), &out, &errs)
	return status, out.String(), errs.String()
}
