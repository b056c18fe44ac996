package main

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/topic"
	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
	"github.com/outcry-mqtt/outcry/hooks/denylist"
	"github.com/outcry-mqtt/outcry/hooks/jwt"
	"github.com/outcry-mqtt/outcry/hooks/rules"
	"github.com/spf13/cobra"
)

const aclLong = `Ask the rules of a configuration, the one that serve would take, without a broker.`

const aclTestLong = `Tell whether a client may do something, which rule or room decided, where that stands,
and why. With -v also what every rule before it lacked.

The client is somebody by name and claims (--user, --claim, --rooms), whoever a token is
about (--token), or nobody (--anonymous). connect asks whether it may use the client
identifier of --client; publish and subscribe ask that, too, if there is a --client.
Whoever is on the deny list may do nothing. Some topics are the broker's, which decides
about them without a rule: $SYS and $me to publish, $me to subscribe, $auth/token.
A $share/GROUP/ before a filter is as good as not there, as it is for the broker.

Exit status: 0 it is allowed, 1 it is denied, 2 it cannot be told.`

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

func newACLCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "acl",
		Short:   "Ask who may do what",
		Long:    aclLong,
		Example: "  outcry acl test --user alice publish news/today",
		Args:    noSuchCommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newACLTestCommand())
	return cmd
}

// aclFlags are the flags of outcry acl test.
type aclFlags struct {
	configFlags
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
		Short:             "Tell whether a client may do something, and which rule says so",
		Long:              aclTestLong,
		Example:           aclTestExample,
		ValidArgsFunction: completeACLAction,
		RunE: func(cmd *cobra.Command, args []string) error {
			err := f.run(cmd, args)
			if coded := (*exitError)(nil); err != nil && !errors.As(err, &coded) {
				return &exitError{aclUnknown, err}
			}
			return err
		},
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return &exitError{aclUnknown, explainFlag(cmd, err)} })
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVarP(&f.user, "user", "u", "", "the client's user name")
	fs.StringArrayVar(&f.claims, "claim", nil, "its claim NAME=VALUE, where VALUE may be JSON; may be repeated")
	fs.StringSliceVar(&f.rooms, "rooms", nil, "its rooms: the claim rooms")
	fs.StringVar(&f.token, "token", "", "its token instead; - reads it from standard input, which ps does not show")
	fs.BoolVar(&f.anonymous, "anonymous", false, "it shows nothing instead")
	fs.StringVarP(&f.client, "client", "i", "", "its client identifier, for {client} and client_ids")
	fs.Uint8VarP(&f.qos, "qos", "q", 0, "QoS of the message or subscription: 0, 1 or 2")
	fs.BoolVarP(&f.retain, "retain", "r", false, "the message is retained")
	fs.BoolVarP(&f.verbose, "verbose", "v", false, "tell of every rule before the one that decided why it did not")
	fs.BoolVar(&f.json, "json", false, "answer in JSON, everything")
	f.register(cmd)
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
	o, err := f.options()
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
		answer.take(rules.Decision{Reason: "it is not let in: " + refusal.Reason})
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
		return &exitError{code: aclDenied}
	}
	return nil
}

// question reads the arguments; nil is asked by connect.
func (f *aclFlags) question(args []string) (*rules.Question, error) {
	whos := 0
	for _, given := range []bool{f.user != "", f.token != "", f.anonymous} {
		if given {
			whos++
		}
	}
	switch {
	case whos != 1:
		return nil, errors.New("say who the client is, with one of --user NAME, --token TOKEN and --anonymous")
	case f.user == "" && (len(f.claims) > 0 || len(f.rooms) > 0):
		return nil, errors.New("--claim and --rooms go with --user; a token has its own")
	case f.qos > 2:
		return nil, fmt.Errorf("--qos %d: want 0, 1 or 2", f.qos)
	case len(args) == 1 && args[0] == "connect":
		return nil, nil
	case len(args) != 2 || args[0] != "publish" && args[0] != "subscribe":
		return nil, errors.New("say what it wants: connect, publish TOPIC or subscribe FILTER")
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

// identity is who the client is. A token that is not accepted is a *broker.Refusal.
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

// tokenIdentity asks the hook that the broker would ask.
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

// ask has the rules decide, and before them the broker, as far as it does so by itself.
func (f *aclFlags) ask(answer *aclAnswer, who *broker.Identity, q *rules.Question) error {
	hook, err := rules.New(answer.config.RuleOptions())
	if err != nil {
		return err // cannot happen: config.Load has checked them
	}
	client := &broker.Client{ID: f.client, Identity: who, Version: 5, Assigned: f.client == ""}
	admitted := hook.ExplainAdmit(client)
	if refusal, err := denied(answer.config, client); err != nil {
		return err
	} else if refusal != nil {
		admitted = rules.Decision{Reason: "it is not let in: " + refusal.Reason}
	}
	if q == nil || !admitted.Allow {
		answer.take(admitted)
		return nil
	}
	if reason, allowed := answer.byBroker(q); reason != "" {
		answer.take(rules.Decision{Allow: allowed, QoS: q.QoS, Reason: reason})
		return nil
	}
	answer.take(hook.Explain(client, *q))
	return nil
}

// denied asks the deny list, if there is one.
func denied(c *config.Loaded, client *broker.Client) (*broker.Refusal, error) {
	if c.Auth.DenyFile == "" {
		return nil, nil
	}
	list, err := denylist.New(denylist.Options{Path: c.Auth.DenyFile, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, c.Problem("auth.deny_file", err.Error(), "")
	}
	return list.Admit(client), nil
}
