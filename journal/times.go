package journal

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"

	"fleettop/units/timespan"
)

const timeAdvice = `give a time such as "2026-01-31 15:04:05", "15:04", today, yesterday, now, -1h or "2 hours ago"`

// longestSpan is what a time may be from now.
const longestSpan = math.MaxInt64 / 2

// ParseTime reads a time as systemd writes and reads them (systemd.time(7)), and RFC 3339:
//
//	2026-01-31 15:04:05.25 UTC    date and time; either may be missing, and the zone
//	Sat 2026-01-31                the weekday must be the date's
//	Jan 31 15:04:05               this year, as logs are printed
//	now today yesterday tomorrow
//	-1h +30min 2h5m "2 hours ago" "1 week left"
//	@1769871845.25                seconds since 1970
//
// Where no zone is given it is that of now.
func ParseTime(text string, now time.Time) (time.Time, error) {
	t, err := parseTime(strings.TrimSpace(text), now)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no time: %w: %s", text, err, timeAdvice)
	}
	if y := t.Year(); y < 1970 || y > 9999 {
		return time.Time{}, fmt.Errorf("%q is no time: it is outside of the years 1970 to 9999: %s", text, timeAdvice)
	}
	return t, nil
}

// ParseTimeOrAge reads a time as ParseTime does, or an age such as 90m.
func ParseTimeOrAge(text string, now time.Time) (time.Time, error) {
	if age, err := time.ParseDuration(text); err == nil && !strings.HasPrefix(text, "+") {
		return now.Add(-age.Abs()), nil
	}
	return ParseTime(text, now)
}

// ParsePast reads a time as ParseTimeOrAge does, for where only the past makes sense: a time of day
// that is still to come today is yesterday's. Any other time after now is an error.
func ParsePast(text string, now time.Time) (time.Time, error) {
	t, err := ParseTimeOrAge(text, now)
	if err != nil || !t.After(now) {
		return t, err
	}
	if timeOfDay(strings.TrimSpace(text)) {
		return ParseTimeOrAge("yesterday "+strings.TrimSpace(text), now)
	}
	return time.Time{}, fmt.Errorf("%q is still to come: give a time of the past, such as 15:04, -15m or yesterday",
		text)
}

// timeOfDay reports whether a text is HOUR:MINUTE or HOUR:MINUTE:SECOND and no more.
func timeOfDay(text string) bool {
	return strings.Contains(text, ":") && strings.Trim(text, "0123456789:.") == ""
}

func parseTime(text string, now time.Time) (time.Time, error) {
	day := func(offset int) time.Time {
		y, m, d := now.Date()
		return time.Date(y, m, d+offset, 0, 0, 0, 0, now.Location())
	}
	switch text {
	case "":
		return now, errors.New("it is empty")
	case "now":
		return now, nil
	case "today":
		return day(0), nil
	case "yesterday":
		return day(-1), nil
	case "tomorrow":
		return day(1), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	sign, span := 0, text
	if rest, ok := strings.CutPrefix(text, "+"); ok {
		sign, span = 1, rest
	} else if rest, ok := strings.CutPrefix(text, "-"); ok {
		sign, span = -1, rest
	} else if rest, ok := strings.CutPrefix(text, "@"); ok {
		return sinceEpoch(rest)
	} else if rest, ok := strings.CutSuffix(text, " ago"); ok {
		sign, span = -1, rest
	} else if rest, ok := strings.CutSuffix(text, " left"); ok {
		sign, span = 1, rest
	}
	if sign == 0 {
		return parseDate(text, now)
	}
	d, err := timespan.Parse(span)
	if err == nil && d > longestSpan {
		err = errors.New("the span of time is too long")
	}
	return now.Add(time.Duration(sign) * d), err
}

func sinceEpoch(text string) (time.Time, error) {
	whole, fraction, _ := strings.Cut(text, ".")
	s, err := strconv.ParseUint(whole, 10, 40)
	if err != nil || len(fraction) > 9 {
		return time.Time{}, errors.New("after @ come seconds since 1970")
	}
	ns := uint64(0)
	if fraction != "" {
		if ns, err = strconv.ParseUint(fraction+strings.Repeat("0", 9-len(fraction)), 10, 32); err != nil {
			return time.Time{}, errors.New("after @ come seconds since 1970")
		}
	}
	return time.Unix(int64(s), int64(ns)), nil
}

// parseDate reads [weekday] [date] [time] [zone].
func parseDate(text string, now time.Time) (time.Time, error) {
	words := strings.Fields(text)
	weekday := time.Weekday(-1)
	if len(words) > 1 {
		for d := time.Sunday; d <= time.Saturday; d++ {
			if w := strings.ToLower(strings.TrimSuffix(words[0], ",")); w == strings.ToLower(d.String()) ||
				w == strings.ToLower(d.String()[:3]) {
				weekday = d
				words = words[1:]
				break
			}
		}
	}
	loc := now.Location()
	if n := len(words); n > 1 || n == 1 && words[0] == "UTC" {
		if zone, err := findZone(words[n-1], now); err == nil {
			loc, words = zone, words[:n-1]
		}
	}
	y, m, d := now.In(loc).Date()
	if len(words) == 3 {
		if t, err := time.Parse("Jan 2", words[0]+" "+words[1]); err == nil {
			words = []string{fmt.Sprintf("%d-%d-%d", y, t.Month(), t.Day()), words[2]}
		}
	}
	date, clock := "", ""
	switch len(words) {
	case 1:
		if strings.Contains(words[0], ":") && !strings.Contains(words[0], "T") {
			clock = words[0]
		} else {
			date, clock, _ = strings.Cut(words[0], "T")
		}
	case 2:
		date, clock = words[0], words[1]
	default:
		return time.Time{}, errors.New("it has neither date nor time of day")
	}
	base := time.Date(y, m, d, 0, 0, 0, 0, loc)
	switch date {
	case "":
	case "today", "yesterday", "tomorrow":
		base = base.AddDate(0, 0, map[string]int{"yesterday": -1, "tomorrow": 1}[date])
	default:
		var err error
		if base, err = firstForm(date, loc, "2006-01-02", "06-01-02", "2006-1-2"); err != nil {
			return time.Time{}, errors.New("the date is not YEAR-MONTH-DAY")
		}
	}
	if weekday >= 0 && base.Weekday() != weekday {
		return time.Time{}, fmt.Errorf("%s is a %s", base.Format("2006-01-02"), base.Weekday())
	}
	if clock == "" {
		return base, nil
	}
	c, err := firstForm(clock, time.UTC, "15:04:05.999999999", "15:04", "3:04")
	if err != nil {
		return time.Time{}, errors.New("the time of day is not HOUR:MINUTE or HOUR:MINUTE:SECOND")
	}
	y, m, d = base.Date()
	return time.Date(y, m, d, c.Hour(), c.Minute(), c.Second(), c.Nanosecond(), loc), nil
}

// findZone knows UTC, what the zone of now is called in summer and in winter,
// and the names of the system's zones.
func findZone(name string, now time.Time) (*time.Location, error) {
	if name == "UTC" || name == "Z" {
		return time.UTC, nil
	}
	for _, month := range []time.Month{time.January, time.July} {
		own, offset := time.Date(now.Year(), month, 1, 0, 0, 0, 0, now.Location()).Zone()
		if name == own {
			return time.FixedZone(own, offset), nil
		}
	}
	if !strings.ContainsFunc(name, unicode.IsUpper) { // a word, a date or a time
		return nil, errors.New("no zone")
	}
	return time.LoadLocation(name)
}

func firstForm(text string, loc *time.Location, forms ...string) (t time.Time, err error) {
	for _, form := range forms {
		if t, err = time.ParseInLocation(form, text, loc); err == nil {
			return t, nil
		}
	}
	return t, err
}
