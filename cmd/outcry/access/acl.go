package access

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/topic"
	"github.com/outcry-mqtt/outcry/cmd/outcry/command"
	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
	"github.com/outcry-mqtt/outcry/hooks/denylist"
	"github.com/outcry-mqtt/outcry/hooks/jwt"
	"github.com/outcry-mqtt/outcry/hooks/rules"
	"github.com/spf13/cobra"
)

const aclLong = `Test the rules of a configuration without a broker. It reads the configuration as outcry serve does.`

const aclTestLong = `Say whether a client may do something, which rule or room decides, its position in the
configuration, and the reason. -v also says why each earlier rule did not decide.

The client has a name and claims (--user, --claim, --rooms), or a token (--token), or no
credentials (--anonymous). connect tests the client identifier of --client; publish and
subscribe test it too, if --client is given. A client on the deny list may do nothing. The
broker decides about some topics without a rule: publishing to $SYS and $me, but not to
$SYS/broker/connection/...; subscribing to $me; $auth/token. $share/GROUP/ before a filter
is ignored, as it is by the broker.

Exit status: 0 allowed, 1 denied, 2 unknown.`

const aclTestExample = `  outcry acl test --user alice --rooms lobby subscribe 'chat/lobby/#'
  outcry acl test --user cellar --client cellar publish sensors/cellar/temperature --qos 1 --retain
  outcry acl test --user bob --claim admin=true -v subscribe '$SYS/#'
  outcry acl test --token "$TOKEN" --json subscribe '$share/workers/jobs/+'
  outcry acl test --token - --config /etc/outcry/config.yaml connect --client alice-1 < token
  outcry acl test --anonymous --set auth.anonymous=true publish hello`

// Exit statuses of acl test.
const (
	aclDenied  = 1
	aclUnknown = 2
)

// NewACLCommand returns the command outcry acl.
func NewACLCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "acl",
		Short:   "Test what a client may do",
		Long:    aclLong,
		Example: "  outcry acl test --user alice publish news/today",
		Args:    command.NoSuch,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newACLTestCommand())
	return cmd
}

// aclFlags are the flags of outcry acl test.
type aclFlags struct {
	command.ConfigFlags
	user      string
	token     string
	anonymous bool
	claims    []string
	rooms     []string
	client    string
	qos       uint8
	retain    bool
	verbose   bool
	json      bool
}

func newACLTestCommand() *cobra.Command {
	f := &aclFlags{}
	cmd := &cobra.Command{
		Use:               "test (--user NAME | --token TOKEN | --anonymous) connect|publish TOPIC|subscribe FILTER",
		Short:             "Say whether a client may do something, and which rule decides",
		Long:              aclTestLong,
		Example:           aclTestExample,
		ValidArgsFunction: completeACLAction,
		RunE: func(cmd *cobra.Command, args []string) error {
			err := f.run(cmd, args)
			if coded := (*command.ExitError)(nil); err != nil && !errors.As(err, &coded) {
				return &command.ExitError{Code: aclUnknown, Err: err}
			}
			return err
		},
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &command.ExitError{Code: aclUnknown, Err: command.ExplainFlag(cmd, err)}
	})
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVarP(&f.user, "user", "u", "", "the client's user name")
	fs.StringArrayVar(&f.claims, "claim", nil, "claim NAME=VALUE of the client, where VALUE may be JSON; may be repeated")
	fs.StringSliceVar(&f.rooms, "rooms", nil, "rooms of the client: its claim rooms")
	fs.StringVar(&f.token, "token", "", "token of the client instead; - reads it from standard input, which ps does not show")
	fs.BoolVar(&f.anonymous, "anonymous", false, "a client without credentials instead")
	fs.StringVarP(&f.client, "client", "i", "", "client identifier, for {client} and client_ids")
	fs.Uint8VarP(&f.qos, "qos", "q", 0, "QoS of the message or subscription: 0, 1 or 2")
	fs.BoolVarP(&f.retain, "retain", "r", false, "the message is retained")
	fs.BoolVarP(&f.verbose, "verbose", "v", false, "print why each earlier rule did not decide")
	fs.BoolVar(&f.json, "json", false, "print everything as JSON")
	f.Register(cmd)
	return cmd
}

func completeACLAction(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return []cobra.Completion{
		cobra.CompletionWithDesc("connect", "with the client identifier of --client"),
		cobra.CompletionWithDesc("publish", "to a topic"),
		cobra.CompletionWithDesc("subscribe", "to a topic filter"),
	}, cobra.ShellCompDirectiveNoFileComp
}

func (f *aclFlags) run(cmd *cobra.Command, args []string) error {
	q, err := f.question(args)
	if err != nil {
		return fmt.Errorf("%w\nsee %s --help", err, cmd.CommandPath())
	}
	o, err := f.Options()
	if err != nil {
		return err
	}
	c, err := config.Load(o)
	if err != nil {
		return err
	}
	who, err := f.identity(cmd, c)
	answer := &aclAnswer{config: c, Action: args[0], Topic: topicOf(args), QoS: f.qos, Retain: f.retain, Client: f.client}
	var refusal *broker.Refusal
	switch {
	case errors.As(err, &refusal):
		answer.setDecision(rules.Decision{Reason: "the client is refused: " + refusal.Reason})
	case err != nil:
		return err
	default:
		answer.User = who.User
		if err := f.ask(answer, who, q); err != nil {
			return err
		}
	}
	if err := f.print(cmd.OutOrStdout(), answer); err != nil {
		return err
	}
	if !answer.Allow {
		return &command.ExitError{Code: aclDenied}
	}
	return nil
}

// question parses the arguments; connect has no question: nil.
func (f *aclFlags) question(args []string) (*rules.Question, error) {
	whos := 0
	for _, given := range []bool{f.user != "", f.token != "", f.anonymous} {
		if given {
			whos++
		}
	}
	switch {
	case whos != 1:
		return nil, errors.New("give the client with one of --user NAME, --token TOKEN and --anonymous")
	case f.user == "" && (len(f.claims) > 0 || len(f.rooms) > 0):
		return nil, errors.New("--claim and --rooms need --user; a token has its own claims")
	case f.qos > 2:
		return nil, fmt.Errorf("--qos %d: want 0, 1 or 2", f.qos)
	case len(args) == 1 && args[0] == "connect":
		return nil, nil
	case len(args) != 2 || args[0] != "publish" && args[0] != "subscribe":
		return nil, errors.New("give an action: connect, publish TOPIC or subscribe FILTER")
	}
	q := &rules.Question{Action: broker.Publish, Topic: args[1], QoS: f.qos, Retain: f.retain}
	if args[0] == "publish" {
		return q, topicError(args[1], topic.CheckName(args[1]))
	}
	_, filter, err := topic.SplitShare(args[1])
	if err == nil {
		err = topic.CheckFilter(filter)
	}
	q.Action, q.Topic = broker.Subscribe, filter
	return q, topicError(args[1], err)
}

func topicError(text string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%q: %w", text, err)
}

func topicOf(args []string) string {
	if len(args) > 1 {
		return args[1]
	}
	return ""
}

// identity returns the client's identity. A refused token gives a *broker.Refusal.
func (f *aclFlags) identity(cmd *cobra.Command, c *config.Loaded) (*broker.Identity, error) {
	if f.anonymous && !c.Auth.Anonymous {
		return nil, &broker.Refusal{Reason: "auth.anonymous is false"}
	}
	if f.anonymous {
		return &broker.Identity{}, nil
	}
	if f.token != "" {
		token, err := givenToken(cmd.InOrStdin(), []string{f.token})
		if err != nil {
			return nil, err
		}
		return tokenIdentity(cmd, c, token)
	}
	claims, err := parseClaims(f.claims)
	if err != nil {
		return nil, err
	}
	if claims == nil {
		claims = map[string]any{}
	}
	if f.rooms != nil {
		claims["rooms"] = f.rooms
	}
	return &broker.Identity{User: f.user, Claims: claims}, nil
}

// tokenIdentity authenticates a token with the broker's hook.
func tokenIdentity(cmd *cobra.Command, c *config.Loaded, token string) (*broker.Identity, error) {
	said, err := jwt.Inspect(token)
	if err != nil {
		return nil, &broker.Refusal{Reason: err.Error()}
	}
	log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	e, err := explain(cmd.Context(), c, token, said, log)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the token cannot be checked: %w", err)
	case e.Refusal != nil:
		return nil, e.Refusal
	}
	return e.Identity, nil
}

// ask evaluates the broker's own decisions, and then the rules.
func (f *aclFlags) ask(answer *aclAnswer, who *broker.Identity, q *rules.Question) error {
	hook, err := rules.New(answer.config.RuleOptions())
	if err != nil {
		return err // cannot happen: config.Load has checked them
	}
	client := &broker.Client{ID: f.client, Identity: who, Version: 5, Assigned: f.client == ""}
	admitted := hook.ExplainAdmit(client)
	if refusal, err := checkDenied(answer.config, client); err != nil {
		return err
	} else if refusal != nil {
		admitted = rules.Decision{Reason: "the client is refused: " + refusal.Reason}
	}
	if q == nil || !admitted.Allow {
		answer.setDecision(admitted)
		return nil
	}
	if reason, allowed := answer.byBroker(q); reason != "" {
		answer.setDecision(rules.Decision{Allow: allowed, QoS: q.QoS, Reason: reason})
		return nil
	}
	answer.setDecision(hook.Explain(client, *q))
	return nil
}

// checkDenied checks the deny list, if there is one.
func checkDenied(c *config.Loaded, client *broker.Client) (*broker.Refusal, error) {
	if c.Auth.DenyFile == "" {
		return nil, nil
	}
	list, err := denylist.New(denylist.Options{Path: c.Auth.DenyFile, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, c.Problem("auth.deny_file", err.Error(), "")
	}
	return list.Admit(client), nil
}
