"""A bot of Microsoft's own SDK (botbuilder 4.17.1, CloudAdapter) for the simulated Teams.

Run by the oracles' Python: `teams_bot.py <simulator's URL> <app id> <secret> <tenant>`. Writes JSON
lines: first `{"port"}`, then `{"event", …}` for each thing that the SDK understood or was told.
"""

import asyncio
import json
import sys
from http import HTTPStatus
from typing import ClassVar

import requests  # noqa: TID251 - what the SDK itself uses; there is no loop to block here
from aiohttp import web
from botbuilder.core import InvokeResponse, TurnContext
from botbuilder.core.teams import TeamsActivityHandler
from botbuilder.integration.aiohttp import CloudAdapter
from botbuilder.schema import (
    Activity,
    ActivityTypes,
    AdaptiveCardInvokeResponse,
    Attachment,
    ChannelAccount,
    ConversationParameters,
    Entity,
    ErrorResponseException,
)
from botbuilder.schema.teams import FileConsentCard
from botframework.connector.auth import (
    AppCredentials,
    BotFrameworkAuthenticationFactory,
    ServiceClientCredentialsFactory,
)

URL, APP_ID, SECRET, TENANT = sys.argv[1:5]


def tell(event, **more):
    print(json.dumps({"event": event, **more}), flush=True)


class Credentials(AppCredentials):
    """MSAL takes https authorities only: the token is asked for by hand, the rest is the SDK's."""

    def get_access_token(self, force_refresh=False):
        answer = requests.post(
            f"{URL}/{TENANT}/oauth2/v2.0/token",
            data={
                "grant_type": "client_credentials",
                "client_id": APP_ID,
                "client_secret": SECRET,
                "scope": "https://api.botframework.com/.default",
            },
            timeout=5,
        )
        answer.raise_for_status()
        return answer.json()["access_token"]


class Factory(ServiceClientCredentialsFactory):
    async def is_valid_app_id(self, app_id):
        return app_id == APP_ID

    async def is_authentication_disabled(self):
        return False

    async def create_credentials(self, app_id, oauth_scope, login_endpoint, validate_authority):
        return Credentials(app_id=app_id, oauth_scope=oauth_scope)


def typing(text, **info):
    return Activity(type=ActivityTypes.typing, text=text, entities=[StreamInfo(**info)])


class StreamInfo(Entity):
    """The SDK of this version has no class for it."""

    _attribute_map: ClassVar = {
        "type": {"key": "type", "type": "str"},
        "stream_type": {"key": "streamType", "type": "str"},
        "sequence": {"key": "streamSequence", "type": "int"},
        "stream_id": {"key": "streamId", "type": "str"},
    }

    def __init__(self, **fields):
        super().__init__(type="streaminfo")
        self.stream_type = fields["streamType"]
        self.sequence = fields.get("streamSequence")
        self.stream_id = fields.get("streamId")


CARD = {
    "type": "AdaptiveCard",
    "version": "1.5",
    "body": [{"type": "TextBlock", "text": "Pick", "weight": "Bolder"}],
    "actions": [
        {"type": "Action.Execute", "title": "Yes", "verb": "pick", "data": {"choice": "yes"}}
    ],
}


class Bot(TeamsActivityHandler):
    async def on_message_activity(self, context: TurnContext):
        TurnContext.remove_recipient_mention(context.activity)
        activity = context.activity
        words = (activity.text or "").strip()
        tell(
            "message",
            text=words,
            sender=activity.from_property.aad_object_id,
            kind=activity.conversation.conversation_type,
            tenant=activity.channel_data["tenant"]["id"],
            value=activity.value,
            attachments=[a.content_type for a in activity.attachments or []],
        )
        work = getattr(self, f"do_{words.partition(' ')[0]}", None)
        if work is not None:
            await work(context)

    async def do_echo(self, context):
        await context.send_activity(context.activity.text)

    async def do_edit(self, context):
        sent = await context.send_activity("draft")
        await context.update_activity(Activity(id=sent.id, type="message", text="final"))
        gone = await context.send_activity("gone")
        await context.delete_activity(gone.id)
        tell("edited", id=sent.id, gone=gone.id)

    async def do_card(self, context):
        card = Attachment(content_type="application/vnd.microsoft.card.adaptive", content=CARD)
        await context.send_activity(Activity(type="message", attachments=[card]))

    async def do_file(self, context):
        content = FileConsentCard(
            description="a plan", size_in_bytes=4, accept_context={"n": 1}, decline_context={}
        )
        card = Attachment(
            content=content.serialize(),
            content_type="application/vnd.microsoft.teams.card.file.consent",
            name="plan.pdf",
        )
        await context.send_activity(Activity(type="message", attachments=[card]))

    async def do_stream(self, context):
        first = await context.send_activity(
            typing("Looking", streamType="informative", streamSequence=1)
        )
        for n, text in enumerate(("You", "You have"), 2):
            await context.send_activity(
                typing(text, streamType="streaming", streamSequence=n, streamId=first.id)
            )
        last = Activity(
            type="message",
            text="You have 5 days.",
            entities=[StreamInfo(streamType="final", streamId=first.id)],
        )
        await context.send_activity(last)
        try:
            await context.send_activity(last)
        except ErrorResponseException as error:
            tell("refused", status=error.response.status_code, said=str(error.message))

    async def do_who(self, context):
        from botbuilder.core.teams import TeamsInfo

        found = await TeamsInfo.get_member(context, context.activity.from_property.id)
        tell("member", name=found.name, email=found.email, id=found.id)

    async def do_new(self, context):
        parameters = ConversationParameters(
            is_group=False,
            bot=ChannelAccount(id=f"28:{APP_ID}"),
            members=[ChannelAccount(id="alice")],
            tenant_id=TENANT,
            channel_data={"tenant": {"id": TENANT}},
        )

        async def first(new_context):
            await new_context.send_activity("hello Alice")

        await context.adapter.create_conversation(
            APP_ID,
            first,
            parameters,
            "msteams",
            context.activity.service_url,
            "https://api.botframework.com",
        )
        tell("created")

    async def do_forbidden(self, context):
        try:
            await context.send_activity("hi")
        except ErrorResponseException as error:
            tell("refused", status=error.response.status_code, said=str(error.message))

    async def on_teams_members_added(self, members, team_info, context):
        tell("members", ids=[member.id for member in members])

    async def on_installation_update_add(self, context):
        tell("installed")

    async def on_reactions_added(self, reactions, context):
        tell("reaction", types=[r.type for r in reactions], of=context.activity.reply_to_id)

    async def on_teams_message_edit(self, context):
        tell("edit", id=context.activity.id, text=context.activity.text)

    async def on_teams_message_soft_delete(self, context):
        tell("delete", id=context.activity.id)

    async def on_teams_file_consent_accept(self, context, file_consent_card_response):
        answer = requests.put(
            file_consent_card_response.upload_info.upload_url,
            data=b"plan",
            headers={"Content-Range": "bytes 0-3/4"},
            timeout=5,
        )
        context = file_consent_card_response.context
        tell("consent", status=answer.status_code, context=context)

    async def on_invoke_activity(self, context):
        if context.activity.name == "message/submitAction":
            tell("feedback", value=context.activity.value, of=context.activity.reply_to_id)
            return InvokeResponse(status=HTTPStatus.OK)
        if context.activity.name == "adaptiveCard/action":
            found = self._get_adaptive_card_invoke_value(context.activity)
            tell("invoke", verb=found.action["verb"], data=found.action["data"])
            # Returned by on_adaptive_card_invoke it would be serialized twice, and its value must
            # be a card: faults of this version.
            kind = "application/vnd.microsoft.card.adaptive"
            body = AdaptiveCardInvokeResponse(status_code=200, type=kind, value=CARD)
            return InvokeResponse(status=HTTPStatus.OK, body=body)
        return await super().on_invoke_activity(context)


async def main():
    sdk = requests.get(f"{URL}/sim/info", timeout=5).json()["sdk"]["botbuilder"]
    auth = BotFrameworkAuthenticationFactory.create(
        credential_factory=Factory(),
        to_bot_from_emulator_open_id_metadata_url=sdk["to_bot_from_channel_open_id_metadata_url"],
        **sdk,
    )
    adapter, bot = CloudAdapter(auth), Bot()

    async def failed(context, error):
        tell("error", said=f"{type(error).__name__}: {error}")

    adapter.on_turn_error = failed

    async def handle(request):
        return await adapter.process(request, bot) or web.Response(status=200)

    app = web.Application()
    app.router.add_post("/api/message/teams", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(json.dumps({"port": runner.addresses[0][1]}), flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
