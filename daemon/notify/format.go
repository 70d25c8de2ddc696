package notify

import (
	"encoding/json"
	"net/http"
	"time"
)

// requestOf makes a format's request of a notice: the path where the URL has
// none, the headers and the body.
type requestOf func(n Notice) (path string, header http.Header, body []byte, err error)

// formats are what receivers take, by what stands before the URL.
var formats = map[string]requestOf{"json": asJSON, "ntfy": asNtfy, "slack": asSlack, "alertmanager": asAlert}

func jsonBody(path string, v any) (string, http.Header, []byte, error) {
	body, err := json.Marshal(v)
	return path, http.Header{"Content-Type": {"application/json"}}, body, err
}

func asJSON(n Notice) (string, http.Header, []byte, error) { return jsonBody("/", n) }

// asNtfy publishes to a topic of an ntfy server, which is the URL's path.
func asNtfy(n Notice) (string, http.Header, []byte, error) {
	priority := map[Severity]string{Critical: "urgent", Warning: "high", Info: "default"}[n.Severity]
	tags := map[Severity]string{Critical: "rotating_light", Warning: "warning", Info: "information_source"}[n.Severity]
	return "/", http.Header{"Title": {"fleettop: " + string(n.Kind)}, "Priority": {priority}, "Tags": {tags}},
		[]byte(n.Text), nil
}

// asSlack is what the incoming webhooks of Slack take, and those of Mattermost,
// Rocket.Chat and, at a URL that ends in /slack, Discord.
func asSlack(n Notice) (string, http.Header, []byte, error) {
	sign := map[Severity]string{Critical: ":rotating_light:", Warning: ":warning:", Info: ":information_source:"}[n.Severity]
	return jsonBody("/", map[string]string{"text": sign + " " + n.Text})
}

// alert is one of Alertmanager's API, version 2.
type alert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
}

const (
	// alertLasts is when an alert ends that nothing ends before.
	alertLasts = 24 * time.Hour
	newsLasts  = 5 * time.Minute // an alert of what is news and no state
)

// ends are the kinds that end the alert of another one.
var ends = map[Kind]Kind{MachineBack: MachineFailed, HoldOver: Hold}

// asAlert posts to Alertmanager. An alert's labels are its identity there, so
// that one sent twice is one, and a machine that is back ends that it failed.
func asAlert(n Notice) (string, http.Header, []byte, error) {
	a := alert{Labels: map[string]string{"severity": string(n.Severity), "cluster": n.Cluster},
		Annotations: map[string]string{"summary": n.Text}, StartsAt: n.Time, EndsAt: n.Time.Add(newsLasts)}
	kind := n.Kind
	switch began, ended := ends[n.Kind]; {
	case ended:
		kind, a.EndsAt, a.Labels["severity"] = began, n.Time, string(severities[began])
	case n.Severity == Critical:
		a.EndsAt = n.Time.Add(alertLasts)
	}
	a.Labels["alertname"] = "fleettop-" + string(kind)
	if n.Machine != "" && kind != Voters {
		a.Labels["machine"] = n.Machine
	}
	if len(n.Units) == 1 {
		a.Labels["unit"] = n.Units[0]
	}
	return jsonBody("/api/v2/alerts", []alert{a})
}
