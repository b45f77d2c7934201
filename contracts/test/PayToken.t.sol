// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {IERC3009} from "@openzeppelin/contracts/interfaces/draft-IERC3009.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import {PayToken} from "../src/PayToken.sol";
import {DaoFixture} from "./DaoFixture.sol";

/// @notice A wallet contract that accepts one digest whatever the signature.
contract Wallet is IERC1271 {
    bytes32 private _accepted;

    function accept(bytes32 digest) external {
        _accepted = digest;
    }

    function isValidSignature(bytes32 hash, bytes calldata) external view returns (bytes4) {
        return hash == _accepted ? IERC1271.isValidSignature.selector : bytes4(0);
    }
}

contract PayTokenTest is DaoFixture {
    bytes32 private constant PERMIT =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
    bytes32 private constant CANCEL = keccak256("CancelAuthorization(address authorizer,bytes32 nonce)");
    bytes32 private constant NONCE = keccak256("nonce");

    function _authorization(bytes32 kind, address to, uint256 value) private view returns (bytes32) {
        return keccak256(abi.encode(kind, ada, to, value, START - 1, START + 100, NONCE));
    }

    function test_its_words_are_those_the_wallets_sign() public view {
        vm.assertEq(token.name(), "Roda Pay");
        vm.assertEq(token.symbol(), "RPAY");
        vm.assertEq(token.version(), "1");
        vm.assertEq(uint256(token.decimals()), 6);
        bytes32 kind = keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
        vm.assertEq(
            token.DOMAIN_SEPARATOR(),
            keccak256(abi.encode(kind, keccak256("Roda Pay"), keccak256("1"), 1919902817, address(token)))
        );
    }

    function test_the_faucet_makes_money_on_the_embedded_chain() public {
        uint256 supply = token.totalSupply();
        token.drip(ada, 5e6);
        vm.assertEq(token.balanceOf(ada), 1_000_005e6);
        vm.assertEq(token.totalSupply(), supply + 5e6);
    }

    function test_nobody_else_makes_money() public {
        vm.expectRevert(abi.encodeWithSelector(PayToken.NotFaucet.selector, ada, address(this)));
        vm.prank(ada);
        token.drip(ada, 1);
    }

    function test_both_development_chains_have_a_faucet() public {
        uint32[2] memory chains = [0x726f6461, 31337];
        for (uint256 i = 0; i < chains.length; ++i) {
            vm.chainId(chains[i]);
            PayToken money = new PayToken(address(this));
            vm.assertEq(money.faucet(), address(this));
            money.drip(ada, 7);
            vm.assertEq(money.balanceOf(ada), 7);
        }
    }

    function test_another_chain_has_no_faucet(uint64 chain) public {
        vm.assume(chain != 0 && chain != 0x726f6461 && chain != 31337);
        vm.chainId(chain);
        PayToken other = new PayToken(address(this));
        vm.assertEq(other.faucet(), address(0));
        vm.expectRevert(abi.encodeWithSelector(PayToken.NotFaucet.selector, address(this), address(0)));
        other.drip(ada, 1);
        vm.expectRevert(abi.encodeWithSelector(PayToken.NotFaucet.selector, address(0), address(0)));
        vm.prank(address(0));
        other.drip(ada, 1);
    }

    function test_a_permit_allows_once() public {
        bytes32 permit = keccak256(abi.encode(PERMIT, ada, bob, 7e6, 0, START));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(ADA_KEY, _digest(permit));
        token.permit(ada, bob, 7e6, START, v, r, s);
        vm.assertEq(token.allowance(ada, bob), 7e6);
        vm.assertEq(token.nonces(ada), 1);
        vm.expectPartialRevert(ERC20Permit.ERC2612InvalidSigner.selector);
        token.permit(ada, bob, 7e6, START, v, r, s);
    }

    function test_an_authorised_transfer_moves_once_by_bytes() public {
        bytes memory signature = _signature(ADA_KEY, _authorization(TRANSFER, bob, 3e6));
        vm.expectEmit(address(token));
        emit IERC3009.AuthorizationUsed(ada, NONCE);
        vm.prank(stranger);
        token.transferWithAuthorization(ada, bob, 3e6, START - 1, START + 100, NONCE, signature);
        vm.assertEq(token.balanceOf(bob), 1_000_003e6);
        vm.assertTrue(token.authorizationState(ada, NONCE));
        vm.expectRevert(abi.encodeWithSelector(ERC3009.ERC3009UsedAuthorization.selector, ada, NONCE));
        token.transferWithAuthorization(ada, bob, 3e6, START - 1, START + 100, NONCE, signature);
    }

    function test_an_authorised_transfer_moves_by_vrs() public {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(ADA_KEY, _digest(_authorization(TRANSFER, bob, 3e6)));
        token.transferWithAuthorization(ada, bob, 3e6, START - 1, START + 100, NONCE, v, r, s);
        vm.assertEq(token.balanceOf(bob), 1_000_003e6);
    }

    function test_an_authorised_receipt_is_sent_by_the_receiver_alone() public {
        bytes memory signature = _signature(ADA_KEY, _authorization(RECEIVE, bob, 3e6));
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InvalidReceiver.selector, bob));
        vm.prank(stranger);
        token.receiveWithAuthorization(ada, bob, 3e6, START - 1, START + 100, NONCE, signature);
        vm.prank(bob);
        token.receiveWithAuthorization(ada, bob, 3e6, START - 1, START + 100, NONCE, signature);
        vm.assertEq(token.balanceOf(bob), 1_000_003e6);
    }

    function test_an_authorised_receipt_moves_by_vrs() public {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(ADA_KEY, _digest(_authorization(RECEIVE, bob, 3e6)));
        vm.prank(bob);
        token.receiveWithAuthorization(ada, bob, 3e6, START - 1, START + 100, NONCE, v, r, s);
        vm.assertEq(token.balanceOf(bob), 1_000_003e6);
    }

    function test_a_receipt_authorisation_is_no_transfer_authorisation() public {
        bytes memory signature = _signature(ADA_KEY, _authorization(RECEIVE, bob, 3e6));
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        token.transferWithAuthorization(ada, bob, 3e6, START - 1, START + 100, NONCE, signature);
    }

    function test_another_amount_is_not_signed(uint256 value) public {
        vm.assume(value != 3e6);
        bytes memory signature = _signature(ADA_KEY, _authorization(TRANSFER, bob, 3e6));
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        token.transferWithAuthorization(ada, bob, value, START - 1, START + 100, NONCE, signature);
    }

    function test_another_key_does_not_sign_for_ada() public {
        bytes memory signature = _signature(BOB_KEY, _authorization(TRANSFER, bob, 3e6));
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        token.transferWithAuthorization(ada, bob, 3e6, START - 1, START + 100, NONCE, signature);
    }

    function test_an_authorisation_holds_strictly_between_its_bounds() public {
        bytes memory signature = _signature(ADA_KEY, _authorization(TRANSFER, bob, 3e6));
        bytes memory refusal =
            abi.encodeWithSelector(ERC3009.ERC3009InvalidAuthorizationTime.selector, START - 1, START + 100);
        uint256[2] memory outside = [START - 1, START + 100];
        for (uint256 i = 0; i < 2; ++i) {
            vm.warp(outside[i]);
            vm.expectRevert(refusal);
            token.transferWithAuthorization(ada, bob, 3e6, START - 1, START + 100, NONCE, signature);
        }
        vm.warp(START + 99);
        token.transferWithAuthorization(ada, bob, 3e6, START - 1, START + 100, NONCE, signature);
    }

    function test_bounds_are_seconds_whatever_their_bits() public {
        (uint256 validAfter, uint256 validBefore) = (1 << 47, (1 << 47) + 1e12); // block numbers in OpenZeppelin's draft
        bytes memory signature =
            _signature(ADA_KEY, keccak256(abi.encode(TRANSFER, ada, bob, 3e6, validAfter, validBefore, NONCE)));
        vm.expectRevert(
            abi.encodeWithSelector(ERC3009.ERC3009InvalidAuthorizationTime.selector, validAfter, validBefore)
        );
        token.transferWithAuthorization(ada, bob, 3e6, validAfter, validBefore, NONCE, signature);
    }

    function test_a_cancelled_authorisation_moves_nothing() public {
        bytes memory cancel = _signature(ADA_KEY, keccak256(abi.encode(CANCEL, ada, NONCE)));
        token.cancelAuthorization(ada, NONCE, cancel);
        bytes memory signature = _signature(ADA_KEY, _authorization(TRANSFER, bob, 3e6));
        vm.expectRevert(abi.encodeWithSelector(ERC3009.ERC3009UsedAuthorization.selector, ada, NONCE));
        token.transferWithAuthorization(ada, bob, 3e6, START - 1, START + 100, NONCE, signature);
    }

    function test_nobody_else_cancels() public {
        bytes memory cancel = _signature(BOB_KEY, keccak256(abi.encode(CANCEL, ada, NONCE)));
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        token.cancelAuthorization(ada, NONCE, cancel);
    }

    function test_a_wallet_contract_signs_by_erc1271() public {
        Wallet wallet = new Wallet();
        token.drip(address(wallet), 3e6);
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        token.transferWithAuthorization(address(wallet), bob, 3e6, 0, START + 1, NONCE, "any");
        wallet.accept(_digest(keccak256(abi.encode(TRANSFER, address(wallet), bob, 3e6, 0, START + 1, NONCE))));
        token.transferWithAuthorization(address(wallet), bob, 3e6, 0, START + 1, NONCE, "any");
        vm.assertEq(token.balanceOf(address(wallet)), 0);
    }
}
