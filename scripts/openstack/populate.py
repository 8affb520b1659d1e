"""Gives a bootstrapped Keystone its people, its services and their quotas, and writes a clouds.yaml for them.

usage: populate.py KEYSTONE_URL GLANCE_URL PASSWORD CLOUDS_YAML [NOVA_URL]

Whatever exists already is left as it is, so that an interrupted run can be repeated.
"""
import sys

import openstack
import yaml

KEYSTONE, GLANCE, PASSWORD, CLOUDS, *NOVA = sys.argv[1:]
REGION = "RegionOne"

# Who there is: user, project, roles. `service` is what Glance and Nova log in to.
PEOPLE = [
    ("admin", "admin", ["admin"]),
    ("demo", "demo", ["member"]),
    ("demo2", "demo", ["member"]),
    ("alt", "alt", ["member"]),
    ("reader", "demo", ["reader"]),
    ("small", "small", ["member"]),
    ("glance", "service", ["admin", "service"]),
    ("nova", "service", ["admin", "service"]),
]
SERVICES = {"glance", "nova"}
# Quotas: sizes in MiB. Wide for everybody, so that tests do not meet them; narrow for `small`, so that tests can.
WIDE = {"image_size_total": 200000, "image_stage_total": 200000, "image_count_total": 5000, "image_count_uploading": 500}
NARROW = {"image_size_total": 5, "image_stage_total": 5, "image_count_total": 3, "image_count_uploading": 1}


def entry(user, scope):
    auth = {"auth_url": KEYSTONE, "username": user, "password": PASSWORD, "user_domain_id": "default", **scope}
    return {"auth_type": "password", "auth": auth, "region_name": REGION, "identity_api_version": 3}


def in_project(user, project):
    return entry(user, {"project_name": project, "project_domain_id": "default"})


def connect(cloud):
    keys = {key: value for key, value in cloud.items() if key != "region_name"}
    return openstack.connect(load_envvars=False, load_yaml_config=False, region_name=REGION, **keys).identity


def people(identity):
    projects = {}
    for name, project, roles in PEOPLE:
        home = identity.find_project(project) or identity.create_project(name=project, domain_id="default")
        user = identity.find_user(name) or identity.create_user(name=name, domain_id="default", password=PASSWORD)
        for role in roles:
            identity.assign_project_role_to_user(home, user, identity.find_role(role, ignore_missing=False))
        projects[project] = home
    return projects


def catalogued(identity, name, kind, url):
    service = identity.find_service(name) or identity.create_service(name=name, type=kind)
    present = {endpoint.interface for endpoint in identity.endpoints(service_id=service.id)}
    for interface in {"public", "internal", "admin"} - present:
        identity.create_endpoint(service_id=service.id, interface=interface, url=url, region_id=REGION)
    return service


def quotas(system, service, small):
    where = {"service_id": service.id, "region_id": REGION}
    present = {limit.resource_name for limit in system.registered_limits()}
    for name in WIDE.keys() - present:
        system.create_registered_limit(resource_name=name, default_limit=WIDE[name], **where)
    present = {limit.resource_name for limit in system.limits(project_id=small.id)}
    for name in NARROW.keys() - present:
        system.create_limit(resource_name=name, resource_limit=NARROW[name], project_id=small.id, **where)


def main():
    whole = entry("admin", {"system_scope": "all"})
    identity, system = connect(in_project("admin", "admin")), connect(whole)
    projects = people(identity)
    reader = identity.find_role("reader", ignore_missing=False)
    identity.assign_system_role_to_user(identity.find_user("glance"), reader, "all")
    quotas(system, catalogued(identity, "glance", "image", GLANCE), projects["small"])
    for url in NOVA:
        catalogued(identity, "nova", "compute", url)
    clouds = {user: in_project(user, project) for user, project, _ in PEOPLE if user not in SERVICES}
    with open(CLOUDS, "w", encoding="utf-8") as out:
        yaml.safe_dump({"clouds": {**clouds, "system": whole}}, out, sort_keys=False)


main()
