package notify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"fleettop/units/safefile"
)

const (
	httpLimit    = 10 * time.Second
	commandLimit = 30 * time.Second
	mostAnswer   = 200     // bytes of a receiver's answer in an error
	mostURLs     = 1 << 16 // bytes of a file of URLs
)

// Receiver is one that is told.
type Receiver struct {
	name string // for people; without the path of a URL, which may hold a secret
	id   string // of it in the store: the same on every machine
	send func(ctx context.Context, n Notice) error
}

// Name is the receiver's name for people. It holds no secret.
func (r *Receiver) Name() string { return r.name }

// rejectedError is a receiver's word that it will never take a notice.
type rejectedError struct{ status, answer string }

func (e *rejectedError) Error() string { return strings.TrimSpace(e.status + " " + e.answer) }

// Parse reads the values of --notify and --notify-command. A URL is one of http
// or https, with a format in front of it unless it takes JSON: ntfy+https://…
// A value that begins with @ names a file that has one URL a line.
func Parse(urls, commands []string) (list []*Receiver, err error) {
	for _, value := range urls {
		specs := []string{value}
		if path, ok := strings.CutPrefix(value, "@"); ok {
			text, err := safefile.Read(path, mostURLs)
			if err != nil {
				return nil, fmt.Errorf("--notify=%s: %w", value, err)
			}
			if specs = strings.Fields(string(text)); len(specs) == 0 {
				return nil, fmt.Errorf("--notify=%s: the file has no URL: write one a line", value)
			}
		}
		for _, spec := range specs {
			r, err := parseURL(spec)
			if err != nil {
				return nil, err
			}
			list = append(list, r)
		}
	}
	for _, command := range commands {
		if strings.TrimSpace(command) == "" {
			return nil, errors.New("--notify-command is given and empty: give a command, or leave it out")
		}
		list = append(list, &Receiver{name: "command " + strings.Fields(command)[0], id: idOf("command", command),
			send: func(ctx context.Context, n Notice) error { return runCommand(ctx, command, n) }})
	}
	for i, r := range list {
		if slices.ContainsFunc(list[:i], func(o *Receiver) bool { return o.id == r.id }) {
			return nil, fmt.Errorf("%s is given twice as a receiver of notices: leave one out", r.name)
		}
	}
	return list, nil
}

func parseURL(spec string) (*Receiver, error) {
	format, rest := "json", spec
	if before, after, ok := strings.Cut(spec, "+"); ok && !strings.Contains(before, ":") {
		format, rest = before, after
	}
	request, known := formats[format]
	if !known {
		return nil, fmt.Errorf("--notify: there is no format %q: write ntfy+, slack+ or alertmanager+ before the URL, or "+
			"nothing for JSON", format)
	}
	u, err := url.Parse(rest)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		// The value itself isn't repeated: it may hold a token.
		return nil, fmt.Errorf("--notify: the value that begins with %q is no URL: write http://HOST/PATH or https://HOST/PATH",
			spec[:min(len(spec), 12)])
	}
	return &Receiver{name: format + " at " + u.Host, id: idOf(format, rest),
		send: func(ctx context.Context, n Notice) error { return post(ctx, request, *u, n) }}, nil
}

func idOf(kind, value string) string {
	sum := sha256.Sum256([]byte(kind + "\n" + value))
	return hex.EncodeToString(sum[:8])
}

// post sends a notice in a format. It blocks for httpLimit at most.
func post(ctx context.Context, request requestOf, u url.URL, n Notice) error {
	ctx, cancel := context.WithTimeout(ctx, httpLimit)
	defer cancel()
	path, header, body, err := request(n)
	if err != nil {
		return err
	}
	if strings.Trim(u.Path, "/") == "" {
		u.Path = path
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header = header
	req.Header.Set("User-Agent", "fleettop")
	req.Header.Set("Idempotency-Key", n.ID)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err // without the URL
		}
		return err
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, mostAnswer))
	switch text := strings.TrimSpace(string(answer)); {
	case resp.StatusCode/100 == 2:
		return nil
	case slices.Contains([]int{http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity},
		resp.StatusCode):
		return &rejectedError{resp.Status, text}
	default:
		return errors.New(strings.TrimSpace(resp.Status + " " + text))
	}
}

// runCommand has the shell run a command that gets a notice as JSON on its
// standard input. It blocks for commandLimit at most; then the command and what
// it started are killed.
func runCommand(ctx context.Context, command string, n Notice) error {
	body, err := json.Marshal(n)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	cmd.Stdin = bytes.NewReader(append(body, '\n'))
	cmd.Env = append(cmd.Environ(), "FLEETTOP_KIND="+string(n.Kind), "FLEETTOP_SEVERITY="+string(n.Severity),
		"FLEETTOP_TEXT="+n.Text)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	output, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("it ran longer than %s", commandLimit)
	}
	if text := strings.TrimSpace(string(output[:min(len(output), mostAnswer)])); text != "" {
		err = fmt.Errorf("%w: %s", err, text)
	}
	return err
}
