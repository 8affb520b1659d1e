#!/usr/bin/env python3
"""Writes expected.json: what openstacksdk makes of each case of cases.yaml.

Run it with a Python that has openstacksdk and python-openstackclient, after a change of cases.yaml:

    python tests/login/expected.py
"""

import argparse
import importlib.metadata
import json
import os
import pathlib
import sys
import tempfile
import warnings

import keystoneauth1.identity.v3
import keystoneauth1.loading
import os_service_types
import requests
import yaml

HERE = pathlib.Path(__file__).parent
SAME = {"v3password": "password", "v3token": "token"}


class Recorded(Exception):
    """The body of a login was sent."""


class Recorder:
    """A session that keeps what is sent and answers nothing."""

    def post(self, url, json, **_):
        self.body = json
        raise Recorded


def lay_out(case, root):
    for folder in ("home", "work"):
        (root / folder).mkdir()
    for path, text in case.get("files", {}).items():
        path = root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    keep = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    os.environ.clear()
    os.environ.update(keep, HOME=str(root / "home"))
    os.environ.update({name: text.replace("$ROOT", str(root)) for name, text in case.get("env", {}).items()})
    os.chdir(root / "work")


def options(args):
    """The command line as argparse would leave it behind."""
    given = {}
    words = iter(args)
    for word in words:
        name = word.removeprefix("--").replace("-", "_")
        given[name] = True if name == "insecure" else next(words)
    return argparse.Namespace(**given)


def select(case):
    # The folders to search are fixed when the module is loaded, so that it is loaded for each case anew.
    from openstack.config import loader

    keywords = {}
    if case.get("cloud"):
        keywords["cloud"] = case["cloud"]
    region = case.get("region") or os.environ.get("OS_REGION_NAME")
    if region:
        keywords["region_name"] = region
    if not case.get("args"):
        return loader.OpenStackConfig().get_one(**keywords)
    from osc_lib.cli import client_config

    return client_config.OSC_Config().get_one(argparse=options(case["args"]), **keywords)


def login_body(plugin, auth_url):
    if hasattr(plugin, "create_plugin"):
        plugin = plugin.create_plugin(None, (3, 0), auth_url)
    if not hasattr(plugin, "auth_methods"):
        return None
    recorder = Recorder()
    try:
        plugin.get_auth_ref(recorder)
    except Recorded:
        return recorder.body


def describe(cloud):
    verify, cert = cloud.get_requests_verify_args()
    cert, key = cert if isinstance(cert, tuple) else (cert, None)
    interface = cloud.get_interface("image")
    auth_type = cloud.config["auth_type"]
    auth_url = cloud.config["auth"].get("auth_url")
    return {
        "auth_type": SAME.get(auth_type, auth_type),
        "auth_url": auth_url,
        "body": login_body(cloud.get_auth(), auth_url),
        "region": cloud.get_region_name("image") or None,
        "interface": [interface] if isinstance(interface, str) else interface,
        "endpoint": cloud.get_endpoint("image"),
        "api_version": cloud.get_api_version("image"),
        "service_type": cloud.get_service_type("image"),
        "service_name": cloud.get_service_name("image"),
        "verify": bool(verify),
        "cacert": verify if isinstance(verify, str) else None,
        "cert": cert,
        "key": key,
    }


def answer(case):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder).resolve()
        lay_out(case, root)
        try:
            found = describe(select(case))
        except Exception as error:
            found = {"error": f"{type(error).__name__}: {error}"}
        os.chdir("/")
        return json.loads(json.dumps(found).replace(str(root), "$ROOT"))


def in_a_process(case):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "w") as pipe:
            json.dump(answer(case), pipe)
            pipe.flush()
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        found = json.load(pipe)
    os.waitpid(child, 0)
    return found


def main():
    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    cases = yaml.safe_load((HERE / "cases.yaml").read_text(encoding="utf-8"))
    names = ("openstacksdk", "keystoneauth1", "osc-lib")
    document = {
        "versions": {name: importlib.metadata.version(name) for name in names},
        "cases": {case["name"]: in_a_process(case) for case in cases},
    }
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    (HERE / "expected.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
