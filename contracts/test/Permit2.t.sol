// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IPermit2} from "../src/IPermit2.sol";
import {Permit2} from "../src/Permit2.sol";
import {Permit2Collector} from "../src/Permit2Collector.sol";
import {UptoProxy} from "../src/UptoProxy.sol";
import {Channels} from "../src/Channels.sol";
import {CHANNELS, PERMIT2} from "../src/Addresses.sol";
import {ChannelsFixture} from "./ChannelsFixture.sol";
import {Wallet} from "./ChannelsPeers.sol";

/// @notice Permit2 itself, and the two contracts that move money through it.
contract Permit2Test is ChannelsFixture {
    bytes32 private constant PERMIT = keccak256(
        "PermitTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline)TokenPermissions(address token,uint256 amount)"
    );
    bytes32 private constant UPTO_WITNESS = keccak256("Witness(address to,address facilitator,uint256 validAfter)");
    bytes32 private constant UPTO_PERMIT = keccak256(
        "PermitWitnessTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline,Witness witness)TokenPermissions(address token,uint256 amount)Witness(address to,address facilitator,uint256 validAfter)"
    );
    bytes32 private constant PERMIT_2612 =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");

    Permit2 private constant permit2 = Permit2(PERMIT2);
    UptoProxy private constant upto = UptoProxy(UPTO_PROXY);
    address private immutable facilitator = address(0xFAC);

    function setUp() public override {
        super.setUp();
        vm.prank(payer);
        token.approve(PERMIT2, type(uint256).max);
    }

    function _permitted(uint256 amount, uint256 nonce, uint256 deadline)
        private
        view
        returns (IPermit2.PermitTransferFrom memory)
    {
        return IPermit2.PermitTransferFrom(IPermit2.TokenPermissions(address(token), amount), nonce, deadline);
    }

    function _digest(bytes32 signed) private view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", permit2.DOMAIN_SEPARATOR(), signed));
    }

    function _signed(uint256 key, IPermit2.PermitTransferFrom memory permit, address spender)
        private
        view
        returns (bytes memory)
    {
        bytes32 permitted = keccak256(abi.encode(TOKEN_PERMISSIONS, permit.permitted));
        return _sign(key, _digest(keccak256(abi.encode(PERMIT, permitted, spender, permit.nonce, permit.deadline))));
    }

    function _to(address to, uint256 amount) private pure returns (IPermit2.SignatureTransferDetails memory) {
        return IPermit2.SignatureTransferDetails(to, amount);
    }

    function _move(IPermit2.PermitTransferFrom memory permit, uint256 amount, bytes memory signature) private {
        vm.prank(stranger);
        permit2.permitTransferFrom(permit, _to(receiver, amount), payer, signature);
    }

    // Permit2

    function test_the_domain_has_no_version_and_follows_the_chain() public {
        bytes32 kind = keccak256("EIP712Domain(string name,uint256 chainId,address verifyingContract)");
        vm.assertEq(permit2.DOMAIN_SEPARATOR(), keccak256(abi.encode(kind, keccak256("Permit2"), CHAIN, PERMIT2)));
        vm.chainId(5);
        vm.assertEq(permit2.DOMAIN_SEPARATOR(), keccak256(abi.encode(kind, keccak256("Permit2"), 5, PERMIT2)));
    }

    function test_a_signature_moves_at_most_its_amount_once() public {
        IPermit2.PermitTransferFrom memory permit = _permitted(10, 1, START);
        bytes memory signature = _signed(PAYER_KEY, permit, stranger);
        vm.expectRevert(abi.encodeWithSelector(Permit2.InvalidAmount.selector, 10));
        _move(permit, 11, signature);
        _move(permit, 7, signature);
        vm.assertEq(token.balanceOf(receiver), 7);
        vm.expectRevert(Permit2.InvalidNonce.selector);
        _move(permit, 3, signature);
        permit.nonce = 2;
        _move(permit, 10, _signed(PAYER_KEY, permit, stranger));
        vm.assertEq(token.balanceOf(receiver), 17);
    }

    function test_a_signature_is_good_until_its_deadline() public {
        IPermit2.PermitTransferFrom memory permit = _permitted(10, 1, START);
        bytes memory signature = _signed(PAYER_KEY, permit, stranger);
        vm.warp(START + 1);
        vm.expectRevert(abi.encodeWithSelector(Permit2.SignatureExpired.selector, START));
        _move(permit, 1, signature);
        vm.warp(START);
        _move(permit, 1, signature);
    }

    function test_a_signature_is_for_its_spender_owner_and_chain() public {
        IPermit2.PermitTransferFrom memory permit = _permitted(10, 1, START);
        bytes memory other = _signed(PAYER_KEY, permit, receiver);
        vm.expectRevert(Permit2.InvalidSigner.selector);
        _move(permit, 1, other);
        other = _signed(STRANGER_KEY, permit, stranger);
        vm.expectRevert(Permit2.InvalidSigner.selector);
        _move(permit, 1, other);
        vm.chainId(5);
        other = _signed(PAYER_KEY, permit, stranger);
        vm.chainId(CHAIN);
        vm.expectRevert(Permit2.InvalidSigner.selector);
        _move(permit, 1, other);
        vm.expectRevert(Permit2.InvalidSigner.selector);
        _move(permit, 1, "");
    }

    function test_an_owner_without_allowance_or_money_moves_nothing_and_keeps_the_nonce() public {
        vm.prank(payer);
        token.approve(PERMIT2, 3);
        IPermit2.PermitTransferFrom memory permit = _permitted(10, 1, START);
        bytes memory signature = _signed(PAYER_KEY, permit, stranger);
        vm.expectPartialRevert(IERC20Errors.ERC20InsufficientAllowance.selector);
        _move(permit, 4, signature);
        vm.assertEq(permit2.nonceBitmap(payer, 0), 0);
        _move(permit, 3, signature);
    }

    function test_a_contract_wallet_signs_by_erc1271() public {
        Wallet wallet = new Wallet(vouchers);
        token.drip(address(wallet), 10);
        vm.prank(address(wallet));
        token.approve(PERMIT2, 10);
        IPermit2.PermitTransferFrom memory permit = _permitted(10, 1, START);
        bytes memory wrong = _signed(PAYER_KEY, permit, stranger);
        bytes memory right = _signed(VOUCHER_KEY, permit, stranger);
        vm.expectRevert(Permit2.InvalidSigner.selector);
        vm.prank(stranger);
        permit2.permitTransferFrom(permit, _to(receiver, 10), address(wallet), wrong);
        vm.prank(stranger);
        permit2.permitTransferFrom(permit, _to(receiver, 10), address(wallet), right);
        vm.assertEq(token.balanceOf(receiver), 10);
    }

    function test_an_owner_makes_nonces_unusable() public {
        vm.expectEmit(PERMIT2);
        emit Permit2.UnorderedNonceInvalidation(payer, 1, 6);
        vm.prank(payer);
        permit2.invalidateUnorderedNonces(1, 6);
        vm.assertEq(permit2.nonceBitmap(payer, 1), 6);
        for (uint256 bit = 1; bit < 3; ++bit) {
            IPermit2.PermitTransferFrom memory unusable = _permitted(10, 256 + bit, START);
            bytes memory signature = _signed(PAYER_KEY, unusable, stranger);
            vm.expectRevert(Permit2.InvalidNonce.selector);
            _move(unusable, 1, signature);
        }
        IPermit2.PermitTransferFrom memory usable = _permitted(10, 256 + 3, START);
        _move(usable, 1, _signed(PAYER_KEY, usable, stranger));
        vm.assertEq(permit2.nonceBitmap(payer, 1), 14);
        vm.assertEq(permit2.nonceBitmap(stranger, 1), 0);
    }

    function testFuzz_a_nonce_is_one_bit(uint256 nonce) public {
        IPermit2.PermitTransferFrom memory permit = _permitted(10, nonce, START);
        bytes memory signature = _signed(PAYER_KEY, permit, stranger);
        _move(permit, 1, signature);
        vm.assertEq(permit2.nonceBitmap(payer, nonce / 256), 2 ** (nonce % 256));
        vm.expectRevert(Permit2.InvalidNonce.selector);
        _move(permit, 1, signature);
    }

    // The collector of deposits

    function test_a_deposit_through_permit2_fills_the_channel() public {
        Channels.ChannelConfig memory config = _config(1);
        bytes memory data = _permit(PAYER_KEY, _id(config), address(token), 5e6, 3, "");
        hub.deposit(config, 5e6, PERMIT2_COLLECTOR, data);
        (uint128 balance,) = hub.channels(_id(config));
        vm.assertEq(balance, 5e6);
        vm.assertEq(token.balanceOf(CHANNELS), 5e6);
        vm.expectRevert(Permit2.InvalidNonce.selector);
        hub.deposit(config, 5e6, PERMIT2_COLLECTOR, data);
    }

    function test_a_permit_brings_its_amount_into_its_channel_only() public {
        bytes memory data = _permit(PAYER_KEY, _id(_config(1)), address(token), 5e6, 3, "");
        vm.expectRevert(Permit2.InvalidSigner.selector);
        hub.deposit(_config(2), 5e6, PERMIT2_COLLECTOR, data);
        vm.expectRevert(Permit2.InvalidSigner.selector);
        hub.deposit(_config(1), 4e6, PERMIT2_COLLECTOR, data);
    }

    function test_nobody_but_the_hub_may_make_the_collector_collect() public {
        bytes32 id = _id(_config(1));
        bytes memory data = _permit(PAYER_KEY, id, address(token), 5e6, 3, "");
        vm.expectRevert(abi.encodeWithSelector(Permit2Collector.NotChannels.selector, address(this), CHANNELS));
        Permit2Collector(PERMIT2_COLLECTOR).collect(payer, address(token), 5e6, id, data);
    }

    function test_nobody_moves_the_money_by_the_permit_itself() public {
        bytes32 id = _id(_config(1));
        bytes memory data = _permit(PAYER_KEY, id, address(token), 5e6, 3, "");
        (,, bytes memory signature,) = abi.decode(data, (uint256, uint256, bytes, bytes));
        vm.expectRevert(Permit2.InvalidSigner.selector);
        vm.prank(stranger);
        permit2.permitWitnessTransferFrom(
            _permitted(5e6, 3, START),
            _to(stranger, 5e6),
            payer,
            keccak256(abi.encode(DEPOSIT_WITNESS, id)),
            "DepositWitness witness)DepositWitness(bytes32 channelId)TokenPermissions(address token,uint256 amount)",
            signature
        );
    }

    function _permit2612(uint256 key, uint256 value) private view returns (uint8 v, bytes32 r, bytes32 s) {
        address owner = vm.addr(key);
        bytes32 signed = keccak256(abi.encode(PERMIT_2612, owner, PERMIT2, value, token.nonces(owner), START));
        return vm.sign(key, keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), signed)));
    }

    function test_a_permit_of_the_token_saves_the_approval() public {
        vm.prank(payer);
        token.approve(PERMIT2, 0);
        Channels.ChannelConfig memory config = _config(1);
        (uint8 v, bytes32 r, bytes32 s) = _permit2612(PAYER_KEY, 5e6);
        bytes memory permit = abi.encode(5e6, START, v, r, s);
        bytes memory data = _permit(PAYER_KEY, _id(config), address(token), 5e6, 3, permit);
        hub.deposit(config, 5e6, PERMIT2_COLLECTOR, data);
        vm.assertEq(token.balanceOf(CHANNELS), 5e6);
    }

    function test_a_permit_that_somebody_sent_before_does_not_block_the_deposit() public {
        vm.prank(payer);
        token.approve(PERMIT2, 0);
        Channels.ChannelConfig memory config = _config(1);
        (uint8 v, bytes32 r, bytes32 s) = _permit2612(PAYER_KEY, 5e6);
        bytes memory data = _permit(PAYER_KEY, _id(config), address(token), 5e6, 3, abi.encode(5e6, START, v, r, s));
        vm.prank(stranger);
        token.permit(payer, PERMIT2, 5e6, START, v, r, s);
        hub.deposit(config, 5e6, PERMIT2_COLLECTOR, data);
        vm.assertEq(token.balanceOf(CHANNELS), 5e6);
    }

    function test_a_wrong_permit_of_the_token_leaves_the_allowance_as_it_is() public {
        vm.prank(payer);
        token.approve(PERMIT2, 0);
        Channels.ChannelConfig memory config = _config(1);
        bytes memory permit = abi.encode(5e6, START, uint8(27), bytes32(uint256(1)), bytes32(uint256(1)));
        bytes memory data = _permit(PAYER_KEY, _id(config), address(token), 5e6, 3, permit);
        vm.expectPartialRevert(IERC20Errors.ERC20InsufficientAllowance.selector);
        hub.deposit(config, 5e6, PERMIT2_COLLECTOR, data);
    }

    // Payments of at most what was signed

    function _uptoSigned(uint256 key, IPermit2.PermitTransferFrom memory permit, UptoProxy.Witness memory witness)
        private
        view
        returns (bytes memory)
    {
        bytes32 signed = keccak256(
            abi.encode(
                UPTO_PERMIT,
                keccak256(abi.encode(TOKEN_PERMISSIONS, permit.permitted)),
                UPTO_PROXY,
                permit.nonce,
                permit.deadline,
                keccak256(abi.encode(UPTO_WITNESS, witness))
            )
        );
        return _sign(key, _digest(signed));
    }

    function _witness() private view returns (UptoProxy.Witness memory) {
        return UptoProxy.Witness(receiver, facilitator, START);
    }

    function test_the_facilitator_settles_at_most_what_was_signed_once() public {
        IPermit2.PermitTransferFrom memory permit = _permitted(10, 1, START);
        bytes memory signature = _uptoSigned(PAYER_KEY, permit, _witness());
        vm.expectRevert(abi.encodeWithSelector(Permit2.InvalidAmount.selector, 10));
        vm.prank(facilitator);
        upto.settle(permit, 11, payer, _witness(), signature);
        vm.expectEmit(UPTO_PROXY);
        emit UptoProxy.Paid(payer, receiver, address(token), 6, 10);
        vm.prank(facilitator);
        upto.settle(permit, 6, payer, _witness(), signature);
        vm.assertEq(token.balanceOf(receiver), 6);
        vm.assertEq(token.balanceOf(UPTO_PROXY), 0);
        vm.expectRevert(Permit2.InvalidNonce.selector);
        vm.prank(facilitator);
        upto.settle(permit, 4, payer, _witness(), signature);
    }

    function test_nobody_but_the_signed_facilitator_settles() public {
        IPermit2.PermitTransferFrom memory permit = _permitted(10, 1, START);
        bytes memory signature = _uptoSigned(PAYER_KEY, permit, _witness());
        vm.expectRevert(abi.encodeWithSelector(UptoProxy.NotFacilitator.selector, stranger, facilitator));
        vm.prank(stranger);
        upto.settle(permit, 6, payer, _witness(), signature);
        UptoProxy.Witness memory own = UptoProxy.Witness(receiver, stranger, START);
        vm.expectRevert(Permit2.InvalidSigner.selector);
        vm.prank(stranger);
        upto.settle(permit, 6, payer, own, signature);
        own = UptoProxy.Witness(stranger, facilitator, START);
        vm.expectRevert(Permit2.InvalidSigner.selector);
        vm.prank(facilitator);
        upto.settle(permit, 6, payer, own, signature);
    }

    function test_a_payment_has_a_first_moment_a_receiver_and_an_amount() public {
        IPermit2.PermitTransferFrom memory permit = _permitted(10, 1, START);
        UptoProxy.Witness memory later = UptoProxy.Witness(receiver, facilitator, START + 1);
        vm.expectRevert(abi.encodeWithSelector(UptoProxy.NotYetValid.selector, START + 1, START));
        vm.prank(facilitator);
        upto.settle(permit, 6, payer, later, "");
        UptoProxy.Witness memory nobody = UptoProxy.Witness(address(0), facilitator, START);
        vm.expectRevert(abi.encodeWithSelector(UptoProxy.NothingToPay.selector, address(0), 6));
        vm.prank(facilitator);
        upto.settle(permit, 6, payer, nobody, "");
        vm.expectRevert(abi.encodeWithSelector(UptoProxy.NothingToPay.selector, receiver, 0));
        vm.prank(facilitator);
        upto.settle(permit, 0, payer, _witness(), "");
    }

    function test_a_payment_may_bring_its_own_approval() public {
        vm.prank(payer);
        token.approve(PERMIT2, 0);
        IPermit2.PermitTransferFrom memory permit = _permitted(10, 1, START);
        bytes memory signature = _uptoSigned(PAYER_KEY, permit, _witness());
        (uint8 v, bytes32 r, bytes32 s) = _permit2612(PAYER_KEY, 10);
        UptoProxy.Permit2612 memory approval = UptoProxy.Permit2612(10, START, r, s, v);
        vm.prank(facilitator);
        upto.settleWithPermit(approval, permit, 6, payer, _witness(), signature);
        vm.assertEq(token.balanceOf(receiver), 6);
        permit.nonce = 2;
        signature = _uptoSigned(PAYER_KEY, permit, _witness());
        vm.prank(facilitator);
        upto.settleWithPermit(approval, permit, 4, payer, _witness(), signature);
        vm.assertEq(token.balanceOf(receiver), 10);
    }
}
