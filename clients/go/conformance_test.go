package tiergate_test

// The cases of conformance/, asked of the sidecars at TIERGATE_URL and TIERGATE_USAGE_URL (which has counted nothing).

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/tiergate/tiergate/clients/go"
)

type members = map[string]any

func read(t *testing.T, file string) members {
	t.Helper()
	folder := os.Getenv("TIERGATE_CONFORMANCE")
	if folder == "" {
		t.Skip("TIERGATE_CONFORMANCE names no folder")
	}
	text, err := os.ReadFile(filepath.Join(folder, file))
	if err != nil {
		t.Fatal(err)
	}
	return decoded(t, text)
}

func decoded(t *testing.T, text []byte) members {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var found members
	if err := decoder.Decode(&found); err != nil {
		t.Fatal(err)
	}
	return found
}

func client(t *testing.T, variable string) *tiergate.Sidecar {
	t.Helper()
	sidecar, err := tiergate.New(tiergate.Options{URL: os.Getenv(variable), Timeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return sidecar
}

// plain is a value of the client as JSON has it; without what is empty, as the wire leaves it out.
func plain(t *testing.T, value any) any {
	t.Helper()
	text, err := json.Marshal(withoutEmptyNumbers(reflect.ValueOf(value)))
	if err != nil {
		t.Fatal(err)
	}
	return decoded(t, text)
}

// withoutEmptyNumbers is the members of a struct by their names in JSON; encoding/json would write an empty number as 0.
func withoutEmptyNumbers(value reflect.Value) any {
	switch value.Kind() {
	case reflect.Pointer, reflect.Interface:
		if value.IsNil() {
			return nil
		}
		return withoutEmptyNumbers(value.Elem())
	case reflect.Slice:
		list := []any{}
		for place := range value.Len() {
			list = append(list, withoutEmptyNumbers(value.Index(place)))
		}
		return list
	case reflect.Struct:
		if value.Type() == reflect.TypeFor[time.Time]() {
			return value.Interface()
		}
		found := members{}
		for place := range value.NumField() {
			field := value.Type().Field(place)
			switch {
			case field.Anonymous:
				for name, member := range withoutEmptyNumbers(value.Field(place)).(members) {
					found[name] = member
				}
			case !field.IsExported() || value.Field(place).Interface() == any(tiergate.Number("")):
			default:
				found[field.Tag.Get("json")] = withoutEmptyNumbers(value.Field(place))
			}
		}
		return found
	}
	return value.Interface()
}

func has(t *testing.T, at string, expected, found any) {
	t.Helper()
	switch expected := expected.(type) {
	case members:
		inner, _ := found.(members)
		for name, value := range expected {
			has(t, at+"/"+name, value, inner[name])
		}
	case []any:
		inner, _ := found.([]any)
		if len(inner) != len(expected) {
			t.Errorf("%s: %v instead of %v", at, found, expected)
			return
		}
		for place, value := range expected {
			has(t, at+"/"+strconv.Itoa(place), value, inner[place])
		}
	default:
		if !reflect.DeepEqual(expected, found) {
			t.Errorf("%s: %#v instead of %#v", at, found, expected)
		}
	}
}

func matches(t *testing.T, name string, step members, found any, err error) {
	t.Helper()
	if expected, isProblem := step["problem"].(members); isProblem {
		var wrong *tiergate.RequestError
		if !errors.As(err, &wrong) {
			t.Errorf("%s: %v instead of a problem", name, err)
			return
		}
		told := members{"type": wrong.Type, "status": json.Number(strconv.Itoa(wrong.Status)), "field": wrong.Field}
		has(t, name, expected, told)
		return
	}
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	has(t, name, step["answer"], plain(t, found))
}

func text(value any) string {
	found, _ := value.(string)
	return found
}

func number(value any) tiergate.Number {
	found, _ := value.(json.Number)
	return found
}

func subject(value any) tiergate.Subject {
	if about, isMembers := value.(members); isMembers {
		return tiergate.Subject{ID: text(about["id"]), Type: text(about["type"]), User: text(about["user"])}
	}
	return tiergate.Customer(text(value))
}

func check(asked members) tiergate.Check {
	return tiergate.NewCheck(subject(asked["subject"]), text(asked["feature"]), tiergate.Amount(number(asked["amount"])),
		tiergate.Used(number(asked["used"])), tiergate.UserUsed(number(asked["user_used"])),
		tiergate.Value(number(asked["value"])), tiergate.Level(text(asked["level"])))
}

func TestChecks(t *testing.T) {
	cases := read(t, "checks.json")["checks"].([]any)
	sidecar := client(t, "TIERGATE_URL")
	var checks []tiergate.Check
	for _, one := range cases {
		asked := check(one.(members)["check"].(members))
		checks = append(checks, asked)
		answer, err := sidecar.Check(context.Background(), asked)
		name := text(one.(members)["name"])
		if name == "a subject without an id" || name == "a subject of no type" {
			// This client always sends a subject with its members, so the problem is about one of them.
			field := "/subject/type"
			if asked.Subject.ID == "" {
				field = "/subject/id"
			}
			one.(members)["problem"].(members)["field"] = field
		}
		matches(t, name, one.(members), answer, err)
	}
	results, err := sidecar.Checks(context.Background(), checks)
	if err != nil {
		t.Fatal(err)
	}
	for place, result := range results {
		step := cases[place].(members)
		name := text(step["name"]) + ", in a batch"
		if result.Err == nil {
			matches(t, name, step, result.Answer, nil)
			continue
		}
		problem := step["problem"].(members)
		problem["field"] = fmt.Sprintf("/checks/%d%s", place, problem["field"])
		matches(t, name, step, nil, result.Err)
	}
}

func TestLists(t *testing.T) {
	lists := read(t, "checks.json")["lists"].([]any)
	sidecar := client(t, "TIERGATE_URL")
	for _, one := range lists {
		var features []string
		for _, feature := range one.(members)["features"].([]any) {
			features = append(features, text(feature))
		}
		found, err := sidecar.Entitlements(context.Background(), subject(one.(members)["subject"]), features...)
		if err != nil {
			t.Fatal(err)
		}
		listed := plain(t, struct {
			Entitlements []tiergate.Answer `json:"entitlements"`
		}{found})
		has(t, text(one.(members)["subject"]), members{"entitlements": one.(members)["entitlements"]}, listed)
	}
}

func TestUsage(t *testing.T) {
	steps := read(t, "usage.json")["steps"].([]any)
	sidecar, ctx := client(t, "TIERGATE_USAGE_URL"), context.Background()
	reservations := map[string]*tiergate.Reservation{}
	for _, one := range steps {
		step := one.(members)
		name, verb := text(step["name"]), text(step["do"])
		use := tiergate.Use{
			Subject: subject(step["subject"]), Feature: text(step["feature"]), Amount: number(step["amount"]), Key: text(step["key"]),
		}
		switch verb {
		case "check":
			answer, err := sidecar.Check(ctx, check(step))
			matches(t, name, step, answer, err)
		case "consume":
			found, err := sidecar.Consume(ctx, use)
			matches(t, name, step, found, err)
		case "reserve":
			found, err := sidecar.Reserve(ctx, use)
			matches(t, name, step, found, err)
			reservations[text(step["as"])] = found
		case "commit", "release":
			held := reservations[text(step["reservation"])]
			end := held.Release
			if verb == "commit" {
				end = func(ctx context.Context) error { return held.Commit(ctx, use.Amount) }
			}
			if err := end(ctx); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		case "report":
			found, err := sidecar.ReportUsage(ctx, use)
			matches(t, name, step, found, err)
		case "usage":
			found, err := sidecar.Usage(ctx, use.Subject, use.Feature)
			if err != nil {
				t.Fatal(err)
			}
			listed := plain(t, struct {
				Usage []tiergate.FeatureUsage `json:"usage"`
			}{found})
			has(t, name, members{"usage": step["usage"]}, listed)
		default:
			t.Fatalf("unknown step %s", verb)
		}
	}
}

func TestOutcomes(t *testing.T) {
	read(t, "usage.json") // or skip
	wrong, err := client(t, "TIERGATE_USAGE_URL").Outcomes(context.Background(), []tiergate.Outcome{
		{Feature: "analytics", OK: true, Duration: 12345678 * time.Nanosecond},
		{Feature: "analytics", At: time.Now(), ID: "o1"},
		{Feature: "analytic", OK: true},
	})
	if err != nil || len(wrong) != 1 || wrong[0].Field != "/outcomes/2/feature" || wrong[0].Suggestion != "analytics" {
		t.Fatal(wrong, err)
	}
}
