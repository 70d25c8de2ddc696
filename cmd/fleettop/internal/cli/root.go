package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fleettop/daemon/api"
)

// root returns the whole command line.
func (a *app) root() *cobra.Command {
	root := mark(&cobra.Command{
		Use:   "fleettop",
		Short: "A cluster-wide init system with a face",
		Long: "fleettop runs systemd units on a cluster of machines and keeps them running when a machine dies.\n" +
			"Start a daemon on each machine (`fleettop daemon`), or try it all here (`fleettop demo`).",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{unknownVerb(cmd, args[0])}
			}
			return nil
		},
		RunE:              func(cmd *cobra.Command, _ []string) error { return a.env.console(cmd, a) },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.checkFlags(cmd) },
	}, looks, noJSON)
	root.Version, _ = a.build.resolve()
	root.SetVersionTemplate("fleettop version {{.Version}}\n")
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	f := root.PersistentFlags()
	f.DurationVar(&a.timeout, "request-timeout", 10*time.Second,
		"how long the daemon may take to answer, or say nothing while it is at work")
	f.BoolVar(&a.readOnly, "read-only", false, "look and change nothing: refuses verbs that act, "+
		"and hides what acts in the console")
	f.BoolVar(&a.noColor, "no-color", a.env.getenv(varNoColor) != "", "never use colours (env NO_COLOR)")
	setUsualDefault(f, "no-color", "")
	f.StringVarP(&a.output, "output", "o", "text", "text or json")
	_ = root.RegisterFlagCompletionFunc("output",
		cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))

	root.AddGroup(groups...)
	for _, v := range verbs() {
		cmd := mark(v.command(a), v.traits...)
		cmd.GroupID = v.group
		root.AddCommand(cmd)
	}
	a.addHelp(root)
	a.env.complete(root)
	a.wrapArgs(root)
	return root
}

// addHelp adds the verbs that cobra makes, help and completion.
func (a *app) addHelp(root *cobra.Command) {
	root.SetHelpCommandGroupID("run")
	root.SetCompletionCommandGroupID("run")
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	root.SuggestionsMinimumDistance = 2
	for _, c := range root.Commands() {
		switch c.Name() {
		case "help":
			mark(c, looks, noJSON)
			c.Args = func(c *cobra.Command, args []string) error {
				if err := a.checkFlags(c); err != nil { // a help command has no run before its own
					return err
				}
				return knownTopic(c, args)
			}
		case "completion":
			mark(c, looks, noJSON, own)
			c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() } // with one its Args are checked
			c.Args = noArgs
			for _, shell := range c.Commands() {
				mark(shell, looks, noJSON)
			}
		}
	}
}

// checkFlags checks the flags that all verbs share.
func (a *app) checkFlags(cmd *cobra.Command) error {
	given, path := cmd.Flags(), cmd.CommandPath()
	switch {
	case a.output != "text" && a.output != "json":
		return usageError{fmt.Errorf("unknown output %q: choose text or json", a.output)}
	case a.json() && has(cmd, noJSON):
		return usageError{fmt.Errorf("%s prints no JSON: leave out --output", path)}
	case a.timeout <= 0:
		return usageError{fmt.Errorf("--request-timeout %s leaves no time for an answer: give more, such as 10s", a.timeout)}
	case given.Changed("endpoint") && given.Changed("host"):
		return usageError{errors.New("--endpoint and --host name two daemons to talk to: leave out one of them")}
	case given.Changed("cluster") && (given.Changed("endpoint") || given.Changed("host")):
		return usageError{errors.New("--cluster says where its daemons are, as --endpoint and --host do: " +
			"give one of the three")}
	case a.readOnly && !has(cmd, looks):
		return api.Refuse(api.CodeForbidden, "leave out --read-only",
			"%s was not done, as --read-only looks and changes nothing", strings.TrimPrefix(path, "fleettop "))
	}
	return nil
}

// wrapArgs makes wrong arguments of any verb a usage error.
func (a *app) wrapArgs(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(c *cobra.Command, args []string) error {
			err := check(c, args)
			if err == nil {
				err = a.env.checkArgs(args)
			}
			if err != nil {
				return usageError{err}
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		a.wrapArgs(sub)
	}
}

// knownTopic refuses to help with what isn't there.
func knownTopic(cmd *cobra.Command, args []string) error {
	at := cmd.Root()
	for _, word := range args {
		i := slices.IndexFunc(at.Commands(), func(c *cobra.Command) bool { return c.Name() == word || c.HasAlias(word) })
		if i < 0 {
			return unknownVerb(at, word)
		}
		at = at.Commands()[i]
	}
	return nil
}

func unknownVerb(root *cobra.Command, word string) error {
	msg := fmt.Sprintf("unknown verb %q", word)
	if word == "fd-forward" { // fleetctl's --tunnel runs it on the far machine
		return errors.New(msg +
			": with `--host ssh://user@host` any verb reaches another machine's daemon, through your own ssh")
	}
	if near := root.SuggestionsFor(word); len(near) > 0 {
		msg += ": did you mean " + strings.Join(near, " or ") + "?"
	}
	return errors.New(msg)
}
